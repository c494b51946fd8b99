"""What must not be older, and what must not be there at all, with the reason. To be looked through every month.

Where there is a network, `pip-audit` knows more.
"""

FLOORS = {
    "flask": "3.1.3",  # CVE-2026-27205: no Vary: Cookie
    "gevent": "24.10.1",  # CVE-2023-41419
    "gunicorn": "26.1",  # an answer could reach the wrong request; smuggling before 22
    "pdfminer-six": "20251230",  # CVE-2025-64512: code execution by a font
    "pymysql": "1.1.3",  # CVE-2024-36039: SQL injection through keys
    "pypdf": "7.1.0",  # memory and CPU exhaustion, six in one year
    "python-docx": "1.2.0",  # CVE-2016-5851: XML entities
    "redis": "4.5.4",  # CVE-2023-28858: answers reached the wrong request
    "requests": "2.31",  # CVE-2023-32681
    "urllib3": "2.6.3",  # decompression bombs
    "werkzeug": "3.0.6",  # CVE-2024-49767: multipart exhaustion
}
UNWANTED = {"docling", "flask-cors", "jsonpickle", "litellm"}
