"""Django app of the site: models, services, API and pages."""
