"""Whether a workbook or CSV file that somebody passed on still says what the run says."""
