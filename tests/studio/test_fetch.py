"""Pictures come from Label Studio and allowed places; everything else is refused in one line, before connecting."""

import base64
import io
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from spml_annotate.errors import DataError, RemoteError
from spml_annotate.studio.client import StudioClient
from spml_annotate.studio.environment import StudioSettings
from spml_annotate.studio.fetch import ImageFetcher

TOKEN = "0123456789abcdef0123456789abcdef01234567"


def picture(kind="PNG", size=(5, 4)):
    held = io.BytesIO()
    Image.new("RGB", size, (200, 10, 10)).save(held, kind)
    return held.getvalue()


PNG = picture()


class Host(ThreadingHTTPServer):
    """Answers each path with what the test put there, and remembers who asked with which token."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Answers)
        self.pages, self.asked = {}, []
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def port(self):
        return self.server_address[1]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        page = self.server.pages.get(self.path)
        if callable(page):
            page(self)
            return
        status, headers, body = page or (404, {}, b"")
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def host():
    server = Host()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def studio():
    """In place of Label Studio, to see what it is asked."""
    server = Host()
    server.pages["/data/upload/1/a.png"] = (200, {"Content-Type": "image/png"}, PNG)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def fetcher(studio, host):
    """Knows ``studio`` with a token, and allows ``host``."""
    with StudioClient(studio.url, TOKEN) as client:
        yield ImageFetcher(StudioSettings(image_hosts=(f"127.0.0.1:{host.port}",), fetch_seconds=2.0), client)


def refused(fetcher, reference, words, error=DataError, task=None):
    with pytest.raises(error, match=words) as caught:
        fetcher.fetch(reference, task=task)
    assert "\n" not in str(caught.value)
    assert TOKEN not in str(caught.value)
    return caught.value


def test_label_studio_and_it_alone_gets_the_token(fetcher, studio, host):
    host.pages["/b.png"] = (200, {}, PNG)
    assert fetcher.fetch("/data/upload/1/a.png") == PNG
    assert fetcher.fetch(f"{studio.url}/data/upload/1/a.png") == PNG
    assert fetcher.fetch(f"{host.url}/b.png") == PNG
    assert studio.asked == [("/data/upload/1/a.png", f"Token {TOKEN}")] * 2
    assert host.asked == [("/b.png", None)]


def test_the_token_opens_pictures_and_nothing_else(fetcher, studio):
    studio.pages["/static/logo.png"] = (200, {}, PNG)
    assert fetcher.fetch("/static/logo.png") == PNG
    refused(fetcher, "/api/projects/1/", "404", RemoteError)
    refused(fetcher, f"{studio.url}/api/ml/?project=1", "404", RemoteError)
    assert [token for _, token in studio.asked] == [None, None, None]


def test_the_name_that_label_studio_gives_itself_means_it(studio, host):
    with StudioClient(studio.url, TOKEN) as client:
        fetcher = ImageFetcher(StudioSettings(), client, "https://label.example.com/")
        assert fetcher.fetch("https://label.example.com/data/upload/1/a.png") == PNG
        refused(fetcher, "https://label.example.com/api/x.png", "SPML_IMAGE_HOSTS")
        refused(fetcher, f"{host.url}/data/upload/1/a.png", "SPML_IMAGE_HOSTS")
        refused(fetcher, "https://label.example.com.evil.org/data/upload/1/a.png", "SPML_IMAGE_HOSTS")
    assert host.asked == []


def test_a_redirect_is_looked_at_and_loses_the_token(fetcher, studio, host):
    studio.pages["/data/upload/1/away.png"] = (302, {"Location": f"{host.url}/b.png"}, b"")
    host.pages["/b.png"] = (303, {"Location": "/c.png"}, b"")
    host.pages["/c.png"] = (200, {}, PNG)
    assert fetcher.fetch("/data/upload/1/away.png") == PNG
    assert host.asked == [("/b.png", None), ("/c.png", None)]


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:1/x.png",
        "http://169.254.169.254/latest/meta-data",
        "http://localhost/x.png",
        "file:///etc/passwd",
        "ftp://127.0.0.1/x.png",
        "gopher://127.0.0.1/",
        "http://[",
        "//[::1",
        "",
    ],
)
def test_a_redirect_to_anywhere_else_is_refused(fetcher, host, target):
    host.pages["/x.png"] = (302, {"Location": target}, b"")
    with pytest.raises(DataError):
        fetcher.fetch(f"{host.url}/x.png")


def test_a_redirect_of_label_studio_does_not_climb_either(fetcher, studio):
    studio.pages["/data/upload/1/x.png"] = (302, {"Location": "/data/local-files/?d=a/../../x.png"}, b"")
    refused(fetcher, "/data/upload/1/x.png", "climbs")
    assert len(studio.asked) == 1


def test_redirects_end(fetcher, host):
    host.pages["/x.png"] = (302, {"Location": "/x.png"}, b"")
    refused(fetcher, f"{host.url}/x.png", "more than 3 times")
    assert len(host.asked) == 4


def test_an_unknown_host_is_refused_before_it_is_asked(studio, host):
    fetcher = ImageFetcher(StudioSettings(url=studio.url), None)
    error = refused(fetcher, f"{host.url}/b.png", "SPML_IMAGE_HOSTS")
    assert f"127.0.0.1:{host.port}" in str(error)
    refused(fetcher, f"http://user:pass@127.0.0.1:{studio.server_address[1]}/data/upload/1/a.png", "user name")
    assert host.asked == []
    assert studio.asked == []


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "2130706433", "0x7f000001", "[::ffff:127.0.0.1]"])
def test_a_pattern_of_hosts_never_means_a_private_address(host, name):
    fetcher = ImageFetcher(StudioSettings(image_hosts=(f"*:{host.port}",)), None)
    refused(fetcher, f"http://{name}:{host.port}/b.png", "private address.*SPML_IMAGE_HOSTS")
    assert host.asked == []


def test_a_named_host_may_be_private(host):
    host.pages["/b.png"] = (200, {}, PNG)
    fetcher = ImageFetcher(StudioSettings(image_hosts=(f"localhost:{host.port}",)), None)
    assert fetcher.fetch(f"http://LOCALHOST:{host.port}/b.png") == PNG
    refused(fetcher, f"http://127.0.0.1:{host.port}/b.png", "SPML_IMAGE_HOSTS")
    refused(fetcher, "http://localhost:1/b.png", "localhost:1 is no host")


@pytest.mark.parametrize(
    "reference",
    [
        "/data/upload/../../api/token",
        "/data/upload/%2e%2e/x.png",
        "/data/upload/%252e%252e/x.png",
        "/data/upload/..%2fx.png",
        "/data/upload/..;/..;a=b/api/token",
        "/data/upload/..\\x.png",
        "/data/local-files/?d=../secret.png",
        "/data/local-files/?d=a/%2e%2e/%2e%2e/secret.png",
        "/data/local-files/?d=a/%252e%252e/secret.png",
        "/data/local-files/?d=/etc/secret.png",
        "/data/local-files/?d=C:/secret.png",
        "/data/local-files/?d=..%5csecret.png",
        "/data/local-files/?d=a%00.png",
        "/data/local-files/?d=a.png&d=../secret.png",
        "/data/local-files/?x=1",
        "/data/local-files/?d=" + "a/" * 9000,
        "/data/upload/\ud800.png",
    ],
)
def test_paths_that_climb_are_refused(studio, tmp_path, reference):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.png").write_bytes(PNG)
    (tmp_path / "in" / "a.png").write_bytes(PNG)
    fetcher = ImageFetcher(StudioSettings(url=studio.url, image_folders=(tmp_path / "in",)), None)
    with pytest.raises(DataError):
        fetcher.fetch(reference)
    with pytest.raises(DataError):
        fetcher.fetch(studio.url + reference)
    assert studio.asked == []


def test_a_folder_serves_local_files_itself(studio, tmp_path):
    (tmp_path / "in" / "sub dir").mkdir(parents=True)
    (tmp_path / "in" / "sub dir" / "a.png").write_bytes(PNG)
    (tmp_path / "out.png").write_bytes(PNG)
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "out.png")
    (tmp_path / "in" / "loop.png").symlink_to(tmp_path / "in" / "loop.png")
    fetcher = ImageFetcher(StudioSettings(url=studio.url, image_folders=(tmp_path / "in",)), None)
    assert fetcher.fetch("/data/local-files/?d=sub%20dir/a.png") == PNG
    assert fetcher.fetch(f"{studio.url}/data/local-files/?d=sub dir/a.png") == PNG
    assert studio.asked == []
    refused(fetcher, "/data/local-files/?d=link.png", "link out of .*SPML_IMAGE_FOLDERS")
    refused(fetcher, "/data/local-files/?d=loop.png", "cannot be one of a file")
    refused(fetcher, "/data/local-files/?d=other.png", "404.*storage", RemoteError)  # Label Studio may have it
    alone = ImageFetcher(StudioSettings(image_folders=(tmp_path / "in",)), None)
    refused(alone, "/data/local-files/?d=other.png", "no folder of SPML_IMAGE_FOLDERS")
    refused(alone, "/data/upload/1/a.png", "LABEL_STUDIO_URL")


def drip(headers_too):
    def page(request):
        send = request.wfile.write
        try:
            for byte in b"HTTP/1.0 200 OK\r\nX-Long: " if headers_too else b"":
                send(bytes([byte]))
            if not headers_too:
                send(b"HTTP/1.0 200 OK\r\n\r\n")
            for _ in range(600):
                send(b"x")
                request.wfile.flush()
                time.sleep(0.05)
        except OSError:
            pass  # the other side hung up, as it should

    return page


@pytest.mark.parametrize("headers_too", [False, True], ids=["body", "headers"])
def test_a_slow_drip_is_cut(host, headers_too):
    host.pages["/slow.png"] = drip(headers_too)
    settings = StudioSettings(image_hosts=(f"127.0.0.1:{host.port}",), fetch_seconds=0.5)
    refused(ImageFetcher(settings, None), f"{host.url}/slow.png", "more than 0.5 s.*SPML_FETCH_SECONDS", RemoteError)


def test_size_is_limited_whatever_is_announced(host):
    settings = StudioSettings(image_hosts=(f"127.0.0.1:{host.port}",), max_image_mb=0.01)
    fetcher = ImageFetcher(settings, None)
    host.pages["/told.png"] = (200, {"Content-Length": "99999999999"}, b"")
    host.pages["/untold.png"] = lambda request: request.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 100_000)
    for path in ("/told.png", "/untold.png"):
        refused(fetcher, host.url + path, r"more than 0\.01 MB.*SPML_MAX_IMAGE_MB")
    inline = base64.b64encode(b"x" * 100_000).decode()
    refused(fetcher, f"data:image/png;base64,{inline}", "SPML_MAX_IMAGE_MB")


def test_pixels_are_counted_before_they_are_decoded(host):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    def bomb(side):
        head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000))

    fetcher = ImageFetcher(StudioSettings(), None)
    for side, words in ((10_001, "SPML_MAX_PIXELS"), (12_000, "SPML_MAX_PIXELS"), (100_000, "too large to be safe")):
        refused(fetcher, f"data:image/png;base64,{base64.b64encode(bomb(side)).decode()}", words)
    small = ImageFetcher(StudioSettings(max_pixels=19), None)
    refused(small, f"data:image/png;base64,{base64.b64encode(PNG).decode()}", "5 x 4 pixels, more than 19")


@pytest.mark.parametrize(
    "body", [b"", b"x", b"<html>", b"GIF89a", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", PNG[:20]]
)
def test_what_is_no_picture_is_refused(fetcher, host, body):
    host.pages["/x.png"] = (200, {"Content-Type": "image/png"}, body)
    refused(fetcher, f"{host.url}/x.png", "not a picture")


def test_a_web_page_is_called_one(fetcher, host):
    host.pages["/x.png"] = (200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>")
    refused(fetcher, f"{host.url}/x.png", "text/html")
    host.pages["/y.png"] = (200, {"Content-Encoding": "gzip"}, b"")
    refused(fetcher, f"{host.url}/y.png", "compressed", RemoteError)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_usual_kinds_of_picture(fetcher, kind):
    data = picture(kind)
    assert fetcher.fetch(f"data:image/x;base64,{base64.b64encode(data).decode()}") == data


@pytest.mark.parametrize(
    "reference",
    [
        "data:text/html;base64,eA==",
        "data:image/png,abc",
        "data:image/png;base64,!!",
        "data:",
        "cat.png",
        "",
        "//h/x.png",
    ],
)
def test_what_is_no_address_is_refused(fetcher, reference):
    with pytest.raises(DataError):
        fetcher.fetch(reference)


def test_cloud_storage_goes_through_label_studio(fetcher, studio, host):
    uri = "s3://bucket/birds/ä 1.png"
    path = "/tasks/7/presign/?fileuri=" + base64.urlsafe_b64encode(uri.encode()).decode()
    studio.pages[path] = (303, {"Location": f"{host.url}/b.png?X-Amz-Signature=hush"}, b"")
    host.pages["/b.png?X-Amz-Signature=hush"] = (200, {}, PNG)
    assert fetcher.fetch(uri, task=7) == PNG
    assert (studio.asked, host.asked) == ([(path, f"Token {TOKEN}")], [("/b.png?X-Amz-Signature=hush", None)])
    refused(fetcher, uri, "task")
    assert fetcher.name(uri) == fetcher.name(path) == "s3/bucket/birds/ä 1.png"


def test_failures_of_the_other_side(fetcher, host, caplog):
    caplog.set_level("DEBUG", "httpx")
    error = refused(fetcher, f"{host.url}/gone.png?X-Amz-Signature=hush", "HTTP 404", RemoteError)
    assert error.status == 404
    assert "hush" not in str(error) + caplog.text
    host.pages["/broken.png"] = lambda request: request.wfile.write(b"nonsense\r\n\r\n")
    refused(fetcher, f"{host.url}/broken.png", "does not answer as it should", RemoteError)
    nobody = ImageFetcher(StudioSettings(image_hosts=("127.0.0.1:1",)), None)
    refused(nobody, "http://127.0.0.1:1/x.png", "does not answer as it should", RemoteError)
    unknown = ImageFetcher(StudioSettings(image_hosts=("no-such-host.invalid",)), None)
    refused(unknown, "http://no-such-host.invalid/x.png", "nobody knows the host", RemoteError)


def test_many_at_once(fetcher, host):
    for number in range(40):
        host.pages[f"/{number}.png"] = (200, {}, picture(size=(number + 1, 2)))
    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda number: fetcher.fetch(f"{host.url}/{number}.png"), range(40)))
    assert got == [picture(size=(number + 1, 2)) for number in range(40)]


@given(st.text() | st.text(alphabet="/.:?d=%2e5c\\@[]# ahtps").map(lambda tail: "http://studio/data/" + tail))
def test_any_text_is_refused_in_one_line(text):
    fetcher = ImageFetcher(StudioSettings(image_hosts=("nowhere.invalid",)), None)
    with pytest.raises((DataError, RemoteError)) as caught:
        fetcher.fetch(text)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_the_real_label_studio(label_studio, tmp_path):
    config = '<View><Image name="i" value="$image"/><Choices name="c" toName="i"><Choice value="a"/></Choices></View>'
    file = tmp_path / "a cat.png"
    file.write_bytes(PNG)
    folder = label_studio.files / "fetch"
    folder.mkdir()
    (folder / "ö 1.png").write_bytes(PNG)
    with label_studio.client() as client:
        project = client.create_project("pictures", config)["id"]
        (uploaded,) = client.upload_images(project, [file])
        client.add_local_storage(project, folder, sync=True)
        (local,) = [task for task in client.tasks(project) if task["id"] != uploaded["id"]]
        for token in (label_studio.token, label_studio.personal_token):
            with label_studio.client(token) as chosen:
                fetcher = ImageFetcher(StudioSettings(), chosen)
                for task in (uploaded, local):
                    assert fetcher.fetch(task["data"]["image"], task=task["id"]) == PNG
        without = ImageFetcher(StudioSettings(url=label_studio.url), None)
        refused(without, uploaded["data"]["image"], "LABEL_STUDIO_API_KEY", RemoteError)
        refused(fetcher, "/data/local-files/?d=elsewhere/x.png", "storage of the project", RemoteError)
        assert fetcher.name(local["data"]["image"]) == "local-files/fetch/ö 1.png"
        client.delete_project(project)
