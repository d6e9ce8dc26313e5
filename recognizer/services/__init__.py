"""The rules of the site: plain functions, called by pages, API, tasks, commands and admin. Nothing here knows HTTP."""
