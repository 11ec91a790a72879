"""What people see: dashboards as code (specs and their publisher arrive with the dashboards)."""
