"""What gunicorn loads, in each worker."""

from infrastructure.app import create_app
from infrastructure.settings import accepted_copy, load

app = create_app(load(accepted_copy()))
