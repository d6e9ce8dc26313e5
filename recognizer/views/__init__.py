"""Views of the pages. They call services and render templates; business rules are in recognizer.services."""
