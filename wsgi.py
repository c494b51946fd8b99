"""What gunicorn loads, in each worker."""

from infrastructure.app import create_app
from infrastructure.settings import load

app = create_app(load())
