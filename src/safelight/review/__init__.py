"""The review page's server: views, decisions, reveals and exports of one case, on loopback. No HTML in Python."""
