"""`/files`: list, read, download, delete."""

from functools import partial
from operator import attrgetter
from typing import Any
from urllib.parse import quote

from dependency_injector.wiring import Provide, inject
from werkzeug.datastructures import Headers

from api.answer import DOWNLOAD_HEADERS, Answer, empty_answer
from api.auth import current_principal, requires
from api.sending import Sending
from api.v1.blueprint import Blueprint
from api.v1.documentation import NO_CONTENT
from api.v1.image_documentation import FILE_CONTENT
from api.v1.image_schemas import FileOut, FilePageIn, FilePageOut
from api.v1.paging import page
from application.files import FileService
from domain.stored_file import StoredFile
from domain.user import Scope

blueprint = Blueprint("files", __name__, "Files: what was made for one, and its contents")


@blueprint.route("/files", methods=["GET"])
@blueprint.arguments(FilePageIn, location="query")
@blueprint.response(200, FilePageOut)
@blueprint.doc(operationId="listFiles")
@requires(Scope.FILES)
@inject
def list_files(query: dict[str, Any], files: FileService = Provide["files"]) -> dict[str, Any]:
    """List one's files, newest first."""
    read = partial(files.page, current_principal(), cursor=query["cursor"], purpose=query["purpose"])
    return page(read, query["limit"], attrgetter("id"))


@blueprint.route("/files/<file_id>", methods=["GET"])
@blueprint.response(200, FileOut)
@blueprint.doc(operationId="getFile")
@requires(Scope.FILES)
@inject
def get_file(file_id: str, files: FileService = Provide["files"]) -> StoredFile:
    """Tell what is known of a file."""
    return files.get(current_principal(), file_id)


@blueprint.route("/files/<file_id>", methods=["DELETE"])
@blueprint.doc(operationId="deleteFile", **NO_CONTENT)
@requires(Scope.FILES)
@inject
def delete_file(file_id: str, files: FileService = Provide["files"]) -> Answer:
    """Delete a file and its content."""
    files.delete(current_principal(), file_id)
    return empty_answer()


@blueprint.route("/files/<file_id>/content", methods=["GET"])
@blueprint.doc(**FILE_CONTENT)
@requires(Scope.FILES)
@inject
def get_file_content(file_id: str, files: FileService = Provide["files"]) -> Answer:
    """Download a file."""
    file, content = files.read(current_principal(), file_id)
    headers = [
        ("Content-Type", "application/octet-stream"),
        ("Content-Length", str(content.size)),
        ("Content-Disposition", f"attachment; filename*=UTF-8''{quote(file.name, safe='')}"),
        ("ETag", f'"{file.sha256}"'),
    ]
    answer = Answer(Sending(content), 200, Headers(headers))
    answer.fixed = DOWNLOAD_HEADERS
    return answer
