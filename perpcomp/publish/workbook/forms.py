"""The formats of cells, by name, and how much of a text fits a line in each."""

WORD = 0.9  # of a column's width is what a word of a header may take, whatever letters it has
FITS = {"wrapped": 1.15, "small": 1.4}  # characters of such a text on a line, for each one of the column's width, which counts digits
MONEY = "#,##0.00;[Red]-#,##0.00;0.00"
LOCKED = {"locked": True, "valign": "top"}
FORMS: dict[str, dict[str, object]] = {
    "text": {"quote_prefix": True, "align": "left", "indent": 1},
    "wrapped": {"quote_prefix": True, "align": "left", "indent": 1, "text_wrap": True},
    "small": {"quote_prefix": True, "align": "left", "indent": 1, "text_wrap": True, "font_size": 9, "font_color": "#444444"},
    "bold": {"bold": True, "text_wrap": True},
    "title": {"bold": True, "font_size": 14},
    "notice": {"quote_prefix": True},
    "block": {"bold": True, "font_size": 12},
    "state": {"bold": True, "font_color": "#1F4E79"},
    "header": {"bold": True, "bg_color": "#DDE6EE", "border": 1, "text_wrap": True},
    "address": {"font_name": "Courier New", "font_size": 9},
    "address_link": {"font_name": "Courier New", "font_size": 9, "font_color": "#0563C1", "underline": 1},
    "link": {"font_color": "#0563C1", "underline": 1},
    "digits": {"num_format": "@", "font_name": "Courier New", "font_size": 9, "align": "right"},
    "money": {"num_format": MONEY},
    "number": {"num_format": "#,##0.00####;[Red]-#,##0.00####;0.00"},
    "plain": {"num_format": "0.00##############"},
    "token": {"num_format": "#,##0.0000"},
    "percent": {"num_format": "0.0%"},
    "ratio": {"num_format": "0.000"},
    "whole": {"num_format": "#,##0"},
    "time": {"num_format": "yyyy-mm-dd hh:mm"},
    "total": {"num_format": MONEY, "bold": True},
    "total_token": {"num_format": "#,##0.0000", "bold": True},
    "input": {"num_format": "0.00##############", "bg_color": "#FFF2CC", "border": 1, "locked": False},
    "input_text": {"num_format": "@", "bg_color": "#FFF2CC", "border": 1, "locked": False},
}
WRAPS = {name: FITS.get(name, 0.95) for name, form in FORMS.items() if form.get("text_wrap")}
PLACES = {"money": 2, "total": 2, "token": 4, "total_token": 4, "number": 6}  # after the point, where a number is shown with separators
