"""Loads and checks settings: tier.json, Elastic Beanstalk's files, flags."""
