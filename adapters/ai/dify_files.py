"""Files of a question: those inside a request are uploaded to Dify, those at an address are left for it to fetch.

https://docs.dify.ai/en/api-reference/files/upload-file
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Mapping
from secrets import token_hex

from adapters.ai.conversation import Inline
from adapters.ai.dify_errors import FileTooLarge, FileTypeRefused
from adapters.ai.dify_question import Attachment
from adapters.ai.http_json import JsonCalls
from application.cancellation import Cancellation
from domain.completion import JsonObject
from domain.errors import InvalidRequest, PayloadTooLarge, UnsupportedMediaType
from domain.members import text_of
from domain.provider_errors import UpstreamBadJson

UPLOAD = "/files/upload"
MAX_BYTES: Mapping[str, int] = {
    "image": 10_000_000,
    "document": 15_000_000,
    "audio": 50_000_000,
    "video": 100_000_000,
}
"""Dify's own limits where its operator has set no others."""

_OFFICE = "application/vnd.openxmlformats-officedocument"
_EXTENSIONS: Mapping[str, Mapping[str, str]] = {
    "image": {
        "image/jpeg": "jpg",
        "image/jpg": "jpg",
        "image/png": "png",
        "image/gif": "gif",
        "image/webp": "webp",
        "image/svg+xml": "svg",
    },
    "audio": {
        "audio/mpeg": "mp3",
        "audio/mp3": "mp3",
        "audio/mp4": "m4a",
        "audio/m4a": "m4a",
        "audio/x-m4a": "m4a",
        "audio/wav": "wav",
        "audio/x-wav": "wav",
        "audio/webm": "webm",
        "audio/amr": "amr",
    },
    "video": {"video/mp4": "mp4", "video/quicktime": "mov", "video/mpeg": "mpeg"},
    "document": {
        "application/epub+zip": "epub",
        "application/json": "txt",
        "application/pdf": "pdf",
        "application/vnd.ms-excel": "xls",
        "application/vnd.ms-outlook": "msg",
        "application/vnd.ms-powerpoint": "ppt",
        f"{_OFFICE}.presentationml.presentation": "pptx",
        f"{_OFFICE}.spreadsheetml.sheet": "xlsx",
        f"{_OFFICE}.wordprocessingml.document": "docx",
        "application/xml": "xml",
        "message/rfc822": "eml",
        "text/csv": "csv",
        "text/html": "html",
        "text/markdown": "md",
        "text/plain": "txt",
        "text/xml": "xml",
    },
}
"""What Dify takes: by kind and type the extension by which it tells what a file is."""

_UNSAFE = re.compile(r'[\x00-\x1f\x7f"/\\]+')
_LONGEST_NAME = 100
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


class Uploads:
    """With one credential. A file belongs to the user it was uploaded for; Dify shows it to nobody else."""

    def __init__(self, calls: JsonCalls) -> None:
        self._calls = calls

    def reference(self, attachment: Attachment, user: str, cancellation: Cancellation, request_id: str) -> JsonObject:
        """What a question names the file by; this uploads it when it has to.

        Raises PayloadTooLarge, UnsupportedMediaType and InvalidRequest with the path of the file, and ProviderErrors.
        """
        if attachment.file is None:
            return {"type": attachment.kind, "transfer_method": "remote_url", "url": attachment.url}
        kind, extension = _known(attachment.file, attachment.path)
        content = _content(attachment.file, kind, attachment.path)
        name = _named(attachment.name or kind, extension)
        boundary = token_hex(16)
        body = multipart(boundary, user, name, attachment.file.media_type, content)
        content_type = f"multipart/form-data; boundary={boundary}"
        try:
            answer = self._calls.send(UPLOAD, content_type, body, cancellation, request_id)
        except FileTooLarge as error:
            raise PayloadTooLarge(error.message, param=attachment.path) from error
        except FileTypeRefused as error:
            raise UnsupportedMediaType(error.message, param=attachment.path) from error
        return {"type": kind, "transfer_method": "local_file", "upload_file_id": _id_of(answer)}


def multipart(boundary: str, user: str, name: str, media_type: str, content: bytes) -> bytes:
    """A form with `user` and `file`. `name` and `media_type` have no quotes and no line breaks."""
    disposition = "Content-Disposition: form-data; name"
    head = (
        f'--{boundary}\r\n{disposition}="user"\r\n\r\n{user}\r\n'
        f'--{boundary}\r\n{disposition}="file"; filename="{name}"\r\nContent-Type: {media_type}\r\n\r\n'
    )
    return b"%b%b\r\n--%b--\r\n" % (head.encode("utf-8", "replace"), content, boundary.encode())


def _known(file: Inline, path: str) -> tuple[str, str]:
    """Kind and extension. Any text is a document of plain text."""
    for kind, extensions in _EXTENSIONS.items():
        if file.media_type in extensions:
            return kind, extensions[file.media_type]
    if re.fullmatch(r"text/[a-z0-9.+-]+", file.media_type):
        return "document", "txt"
    raise UnsupportedMediaType(f"{path}: this provider does not take files of this type.", param=path)


def _content(file: Inline, kind: str, path: str) -> bytes:
    """The size is known before anything is decoded."""
    if len(file.encoded) // 4 * 3 > MAX_BYTES[kind] + 2:
        raise PayloadTooLarge(f"{path}: this provider takes at most {MAX_BYTES[kind]:,} bytes.", param=path)
    try:
        return b64decode(file.encoded, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(f"{path}: is not base64.", param=path) from None


def _named(name: str, extension: str) -> str:
    """Dify tells by the extension what a file is, so that it has to be the one of its type."""
    stem = _UNSAFE.sub("_", name).removesuffix(f".{extension}").strip(". ")[:_LONGEST_NAME]
    return f"{stem or 'file'}.{extension}"


def _id_of(answer: JsonObject) -> str:
    found = text_of(answer, "id")
    if not _ID.fullmatch(found):
        raise UpstreamBadJson("The provider's answer names no file.")
    return found
