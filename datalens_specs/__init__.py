"""What people see: dashboards as specs, their checks, the preview page and the workbook file."""
