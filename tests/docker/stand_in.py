"""A server where jupyterhub-singleuser would be. STAND_IN in the environment says how it behaves."""

import http.server
import os
import sys
import time

behaviour = os.environ.get("STAND_IN", "")
if os.path.exists(os.path.expanduser("~/fail")):
    behaviour = "fail"
if behaviour == "fail":
    for number in range(200):
        sys.stderr.write(f"line {number} <script>alert(1)</script> \x1b[31mred\x1b[0m\n")
    sys.stderr.write("ModuleNotFoundError: No module named 'jupyterhub'\n")
    sys.exit(3)
if behaviour == "hang":
    time.sleep(3600)


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"version": "2.0"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-JupyterHub-Version", "6.1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("0.0.0.0", 8888), Answer).serve_forever()
