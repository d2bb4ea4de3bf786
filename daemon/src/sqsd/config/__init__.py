"""Loads and checks what an operator writes: tier.json, Elastic Beanstalk's files, flags."""
