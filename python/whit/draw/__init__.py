"""Pictures and pages that need nothing from elsewhere: SVG and HTML as text, readable on light and dark."""
