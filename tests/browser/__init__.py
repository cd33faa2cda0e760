"""report.html in a real browser: what it looks like is for people, what it does is tested. Needs Chromium, and packages of npm."""
