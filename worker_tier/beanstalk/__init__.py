"""Elastic Beanstalk's option settings, read as props."""
