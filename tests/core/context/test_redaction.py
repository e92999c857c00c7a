"""What looks like a secret is masked, what only talks of one is not."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable

import msgspec
import pytest
from cellar.context import RedactionState, Redactor
from cellar.context.secrets import environment_values, find_secrets

# Tokens are put together here, so that no scanner takes this file for a leak.
BODY = "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xY"
DIGITS = "1234567890"
PEM_BODY = "\n".join("MIIEpAIBAAKCAQEA7x" + "a1B2" * 11 for _ in range(24)) + "\nZm9vYmFy="
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{PEM_BODY}\n-----END RSA PRIVATE KEY-----"

SECRETS = {
    "aws-key": ["AKIA" + "IOSFODNN7EXAMPLE", "ASIA" + "IOSFODNN7EXAMPLE"],
    "github-token": ["ghp_" + BODY + "abcd", "gho_" + BODY + "abcd", "github_pat_" + BODY + "_" + BODY],
    "gitlab-token": ["glpat-" + BODY[:20]],
    "slack-token": ["xoxb-" + DIGITS + "-" + DIGITS + "-" + BODY[:24], "xoxp-" + DIGITS + "-" + BODY],
    "google-key": ["AIza" + BODY + "abc"],
    "api-key": ["sk-" + BODY + BODY, "sk-proj-" + BODY + "_" + BODY, "sk-ant-api03-" + BODY + "-" + BODY],
    "huggingface-token": ["hf_" + BODY + "xy"],
    "npm-token": ["npm_" + BODY + "abcd"],
    "pypi-token": ["pypi-" + "AgEIcHlwaS5vcmc" + BODY * 3],
    "stripe-key": ["sk_" + "live_" + BODY, "rk_" + "test_" + BODY],
    "jwt": ["eyJ" + "hbGciOiJIUzI1NiJ9." + "eyJ" + "zdWIiOiIxMjM0NTY3ODkwIn0." + BODY],
    "azure-secret": ["abC8Q~" + BODY[:32] + "ab"],
    "databricks-token": ["dapi" + "0123456789abcdef" * 2],
    "vault-token": ["hvs." + BODY],
}


@pytest.mark.parametrize(("kind", "secret"), [(kind, one) for kind, many in SECRETS.items() for one in many])
def test_a_token_that_says_what_it_is_is_masked_wherever_it_stands(kind: str, secret: str) -> None:
    for template in (
        "{}",
        "x = '{}'",
        '{{"a": "{}"}}',
        "see {}, please",
        "한글{} 한글".replace("한글{", "한글 {"),
        "url?key={}&b=1",
    ):
        redactor = Redactor()
        masked = redactor.mask(template.format(secret))
        assert secret not in masked and secret[6:] not in masked
        assert masked == template.format("«secret:1»")
    assert redactor.found([masked])[0].kind == kind


ASSIGNMENTS = [
    ('password = "hunter2"', "hunter2"),
    ("password = 'changeme'", "changeme"),
    ("password = '$ecret99'", "$ecret99"),
    ("password = '%pa55word'", "%pa55word"),
    ('DB_PASSWORD: str = "p4ss w0rd!x"', "p4ss w0rd!x"),
    ('cfg["password"] = "hunter22"', "hunter22"),
    ('{"password": "Tr0ub4dor&3"}', "Tr0ub4dor&3"),
    ('{\\"password\\": \\"Tr0ub4dor3\\"}', "Tr0ub4dor3"),
    ("connect(host, password='hunter2', user='me')", "hunter2"),
    ("export API_KEY=" + BODY, BODY),
    ("SECRET_KEY=not-a-word-123", "not-a-word-123"),
    ("DB_PASSWORD=supersecret\nNEXT=1", "supersecret"),
    ("  password: hunter2!\n  user: me", "hunter2!"),
    ('api_key = "' + BODY + '"', BODY),
    ("apiKey: '" + BODY + "',", BODY),
    ('aws_secret_access_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"', "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ('token = "' + BODY + '"', BODY),
    ('os.environ["GH_TOKEN"] = "abcdef123456"', "abcdef123456"),
    ('os.environ.get("MY_TOKEN", "abcdef123456")', "abcdef123456"),
    ("mysql --password hunter22 --user me", "hunter22"),
    ("curl --token=abcd1234efgh5678", "abcd1234efgh5678"),
    ("Server=db;User Id=me;Password=abc123;Database=x", "abc123"),
    ("AccountName=x;AccountKey=" + BODY * 2 + "==;EndpointSuffix=y", BODY * 2 + "=="),
    ("?sv=2022&sig=" + BODY + "aaaaaaaaaa%3D", BODY + "aaaaaaaaaa%3D"),
    ("Authorization: Bearer " + BODY, BODY),
    ('{"Authorization": "Bearer ' + BODY + '"}', BODY),
    ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNzd29yZA=="),
    ("postgresql://app:s3cr3t@db:5432/x", "s3cr3t"),
    ("redis://:s3cr3tpw@cache/0", "s3cr3tpw"),
    ("amqp://u:p@ss@host", "p@ss"),
    ('비밀번호 = "비번1234"', "비번1234"),
    ("비밀번호: abc1234!", "abc1234!"),
    ("암호 = 'hunter2pw'", "hunter2pw"),
    ("비밀번호는 hunter2pw 입니다", "hunter2pw"),
    ("비밀번호는 hunter2pw입니다.", "hunter2pw"),
    ("DB 암호가 correcthorse 입니다", "correcthorse"),
    ("The password is Tr0ub4dor&3, please connect", "Tr0ub4dor&3"),
    ("password: hunter2xx9", "hunter2xx9"),
    ("db:\n  password: Tr0ub4dor&3  # of the test server\n  user: me", "Tr0ub4dor&3"),
    ("passwd: hunter2xx9\r\nuser: me", "hunter2xx9"),
    ("api_key: abcdef0123", "abcdef0123"),
    ("[db]\npassword = hunter2xx9\nuser = me", "hunter2xx9"),
    ('psycopg2.connect("dbname=x user=bob password=hunter2pw")', "hunter2pw"),
    ("host=db password=hunterpw user=bob", "hunterpw"),
    ("DB_PASS=hunterpw", "hunterpw"),
    ("export SMTP_PASS=hunter2pw", "hunter2pw"),
    ('mysql_pass = "hunter2pw"', "hunter2pw"),
    ('{"dbpass": "hunter2pw"}', "hunter2pw"),
    ("user: me\npass: hunter2pw", "hunter2pw"),
    ('pw = "hunter2pw"', "hunter2pw"),
    ("Conn(host='db', user='bob', pw=s3cr3tPW99)", "s3cr3tPW99"),
    ("Conn(password=s3cr3tPW99, port=1)", "s3cr3tPW99"),
    ("curl -s -u admin:adm1nPass https://db/x", "adm1nPass"),
    ("curl --user 'admin:adm1n Pass' x".replace(" Pass", "-Pass"), "adm1n-Pass"),
    ("mysql -uroot -phunter2pw db", "hunter2pw"),
    ("mysqldump -u root -p'hunter2pw' db", "hunter2pw"),
    ("sshpass -p hunter2pw ssh me@db", "hunter2pw"),
    ("Authorization: Token abcdef0123456789", "abcdef0123456789"),
    ('headers = {"Authorization": "ApiKey abc-0123456"}', "abc-0123456"),
    ("Cookie: session=abc0123; theme=dark", "abc0123; theme=dark"),
    ("Set-Cookie: session=abc0123; Path=/; HttpOnly", "abc0123"),
    ('requests.get(url, auth=("bob", "hunterpw"))', "hunterpw"),
    ("HTTPBasicAuth('bob', 'hunterpw')", "hunterpw"),
    ("machine db login bob password hunterpw", "hunterpw"),
    ("machine db\n  login bob\n  password hunterpw\n", "hunterpw"),
    ('{"auths": {"db": {"auth": "Ym9iOmh1bnRlcjI="}}}', "Ym9iOmh1bnRlcjI="),
    ("<db><password>hunterpw</password></db>", "hunterpw"),
    ("<x:db-password>hunterpw</x:db-password>", "hunterpw"),
    ('{"password": ["hunter2pw"]}', "hunter2pw"),
    ("passwords = ['hunter2pw']", "hunter2pw"),
    ("CREATE USER bob IDENTIFIED BY 'hunterpw'", "hunterpw"),
    ("alter user bob identified with mysql_native_password by 'hunterpw'", "hunterpw"),
    ("ALTER ROLE bob WITH PASSWORD 'hunterpw'", "hunterpw"),
]


@pytest.mark.parametrize(("text", "secret"), ASSIGNMENTS)
def test_a_literal_behind_a_sensitive_name_is_masked_alone(text: str, secret: str) -> None:
    assert Redactor().mask(text) == text.replace(secret, "«secret:1»")


INNOCENT = [
    "password = input()",
    "password = getpass.getpass('Password: ')",
    "token = get_token()",
    "token = tokens[0]",
    'key = os.environ["API_KEY"]',
    'token = os.environ.get("HF_TOKEN")',
    "password=password, token=self.token",
    "def connect(user: str, password: str, token: str | None = None) -> None:",
    "password: Optional[str] = None",
    'tokenizer = AutoTokenizer.from_pretrained("gpt2")',
    "max_tokens=4096, max_new_tokens = 256",
    'pad_token = "[PAD]"; eos_token = "<|endoftext|>"; bos_token="<s>"',
    "tokenizer.pad_token = tokenizer.eos_token",
    "password: ${DB_PASSWORD}",
    'password = "$DB_PASSWORD"; other_password = "$pass"',
    'password = "%s"; password = "%(pw)s"; set PASSWORD=%PW%',
    'url = f"postgres://{user}:{password}@{host}/db"',
    "postgres://$USER:$PASSWORD@host/db",
    'PASSWORD = "********"',
    'API_KEY = "<your key>"',
    '{"type": "password", "label": "Password"}',
    "https://example.org/a:b@c and mailto:me@example.org",
    "http://localhost:8888/lab?x=1",
    "The password is required. Token: see below. Secret: none.",
    "secret = True",
    'columns = ["user", "password", "email"]',
    "SELECT token FROM t WHERE token = :token",
    "sk-learn and sk-image are packages; task-specific-things-without-any-number-in-them",
    "key = 'value'\nfor key in keys: print(key)",
    "비밀번호: 필수 입력 항목입니다",
    "토큰 수를 세고 암호를 입력하세요.",
    "a = AKIA; b = ghp_; c = sk-",
    "-----BEGIN CERTIFICATE-----\nMIIEpAIBAAKCAQEA7x\n-----END CERTIFICATE-----",
    "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQ\n-----END PUBLIC KEY-----",
    "git commit 1f8c9d7e6b5a4f3e2d1c0b9a8f7e6d5c4b3a2f1e",
    "<|im_start|> token: 17, tokens: 18",
    "PWD=/home/me/work\nOLDPWD=/home/me",
    '{"PWD": "/home/me/work", "OLDPWD": "C:\\\\work", "pwd": "~/x"}',
    "pwd = os.getcwd()",
    'password=os.environ["X"], host="h1"',
    "token = tokenizer(x)",
    "token = token2id",
    "password = read_password2",
    "password: str\n    token: str\n    key: int32",
    "password: SecretStr\n    api_key: Uint8Array\n    secret: sha256",
    "api_key: Optional[str] = None",
    "password: user.password1",
    "password: config.get('x1')",
    "else:\n    pass\n\ntry: pass\nexcept E: pass  # 2 lines: never raised",
    "passes: 3, passed: 120 of 120, bypass: abcdef01, compass = 'north1'",
    "first pass: compile1\nforward_pass = 'layer-1a'\nlow_pass: hz100-200",
    "pass: 99.25%\npass: 120/121\npass: 2026-01-02",
    '{"pass": "green", "fail": "red"}',
    "pw: 0.123456\npw = 1.25e-3",
    "암호화: AES256\n비밀번호는 8자리 이상입니다\n비밀번호는 sha256으로 저장합니다",
    "암호는 SHA256입니다. 비밀번호는 users.py:12 에서 읽습니다",
    "The password is hashed with bcrypt. The password is sha256-hashed.",
    "author: bob, authority: (1, 2), auth=(user, password), auth=get_auth('a', 'b1')",
    "Authorization: see the documentation\nAuthorization: Bearer <token>",
    "cookie = make(a=1)\ncookies=jar, verify=False\ncookie: see below",
    "docker run -u 1000:1000 image; sort -u a:b; mysql -P 3306 -u root -p db",
    "the user was identified by 'name'".replace("'", ""),
    "fetch(url, { credentials: 'same-origin' }); ['PaymentPass', 'SharedPass1', 'Pay2']",
    "it is identified by 'name1'; if users pass `-Dx1=no` or 'x1y2z3'; if the user or password part2 is",
    "user_pass = '%s:%s' % (user, password); --secret SECRET",
    "authorization = base64.b64decode(x1); f(cookie, clock=lambda: 1_500_000_000)",
    "<label>Password</label><input type='password'>",
    "<password>${DB_PASSWORD}</password>",
    '{"password": ["This field is required."], "type": ["null", "string"]}',
]


@pytest.mark.parametrize("text", INNOCENT)
def test_names_calls_and_placeholders_are_left_alone(text: str) -> None:
    assert Redactor().mask(text) == text


@pytest.mark.parametrize(
    "text",
    [
        f"key:\n{PEM}\nafter it",
        f"key = {PEM!r}\nafter it",
        "key = " + json.dumps(PEM) + "\nafter it",
        f"cut off: {PEM[:700]}",
        f"cut off: {PEM!r}"[:700],
        f"[...]\n{PEM[400:]}\nafter it",
        PEM.replace("RSA ", "ENCRYPTED ").replace(
            "-----\nMII", "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: X,00\n\nMII", 1
        ),
        PEM.replace("RSA ", "OPENSSH "),
        PEM.replace("RSA PRIVATE KEY", "PGP PRIVATE KEY BLOCK"),
    ],
)
def test_a_private_key_is_masked_whole_cut_or_as_a_string(text: str) -> None:
    masked = Redactor().mask(text)
    assert "a1B2a1B2" not in masked and "MIIE" not in masked and "PRIVATE" not in masked
    assert ("after it" in masked) == ("after it" in text)


def test_two_keys_one_after_the_other_are_two_secrets() -> None:
    other = PEM.replace("a1B2", "c3D4")
    assert Redactor().mask(f"{PEM}\nand\n{other}") == "«secret:1»\nand\n«secret:2»"


@pytest.mark.parametrize("text", [text for text, _ in ASSIGNMENTS] + INNOCENT + [PEM, repr(PEM), PEM[:500], PEM[300:]])
def test_masking_what_is_masked_changes_nothing(text: str) -> None:
    redactor = Redactor(environ={"APP_SECRET": "correct horse battery"})
    once = redactor.mask(f"before {text} correct horse battery\nafter")
    assert redactor.mask(once) == once


def test_the_same_secret_has_the_same_number_in_a_conversation_also_after_a_restart() -> None:
    redactor = Redactor()
    assert (
        redactor.mask('password = "hunter2"; token = "abcdef1234567"')
        == 'password = "«secret:1»"; token = "«secret:2»"'
    )
    stored = msgspec.json.encode(redactor.state)
    assert b"hunter2" not in stored and b"abcdef" not in stored
    again = Redactor(msgspec.json.decode(stored, type=RedactionState))
    assert again.mask('token = "abcdef1234567"') == 'token = "«secret:2»"'
    assert again.mask('api_key = "something-new-1"') == 'api_key = "«secret:3»"'


def test_a_secret_that_a_name_gave_away_is_masked_without_the_name_too() -> None:
    redactor = Redactor()
    assert redactor.mask("print('hunter2abc')\npassword = 'hunter2abc'").count("«secret:1»") == 2
    assert redactor.mask("connected as me with hunter2abc.") == "connected as me with «secret:1»."
    again = Redactor(msgspec.json.decode(msgspec.json.encode(redactor.state), type=RedactionState))
    assert again.mask("hunter2abc, hunter2abcd") == "«secret:1», hunter2abcd"
    assert Redactor().mask("hunter2abc") == "hunter2abc"


def test_a_secret_is_found_again_as_a_word_of_its_own_whatever_stands_around_it() -> None:
    redactor = Redactor()
    redactor.mask("password = 'hunter2hunter2X'")
    for text in (
        "as hunter2hunter2X.",
        "(hunter2hunter2X)",
        "암호 “hunter2hunter2X”?",
        "hunter2hunter2X!?!",
        "x\thunter2hunter2X",
    ):
        assert redactor.mask(text) == text.replace("hunter2hunter2X", "«secret:1»")
    for text in ("hunter2hunter2XX is longer", "ahunter2hunter2X", "hunter2.hunter2X"):
        assert redactor.mask(text) == text


@pytest.mark.parametrize(
    "piece",
    [
        "12345678 ",
        "0.123456\n",
        "1234567.",
        "abcdefg1.!?",
        "a" * 7,
        ".!?" * 5,
        "x" * 107 + " ",
        "한글12345 ",
        "\u00e9" * 8 + " ",
    ],
)
def test_a_megabyte_of_words_as_long_as_a_known_secret_is_compared_with_it_in_linear_time(piece: str) -> None:
    redactor = Redactor()
    redactor.mask("password = 'hunter2X'; api_key = 'hunter2hunter2X'; token = '" + "q9" * 50 + "'")
    text = piece * (1_000_000 // len(piece))
    assert redactor.mask(f"{text} hunter2X") == f"{text} «secret:1»"


@pytest.mark.parametrize(
    "before_the_end",
    [
        "!" + "A" * 4_190 + "!\n",
        "A" * 4_190 + "!\n",
        "A\n" * 2_000,
        "\n" * 4_000,
        "A" * 4_190 + "!\\n",
        "' \", " * 1_000 + "!",
    ],
)
def test_what_stands_before_the_end_of_a_key_is_read_in_linear_time(before_the_end: str) -> None:
    text = (before_the_end + "-----END PRIVATE KEY-----\n") * (1_000_000 // len(before_the_end))
    assert find_secrets(text)[-1].kind == "private-key"


def test_of_a_key_whose_beginning_is_missing_all_lines_are_masked_and_nothing_else() -> None:
    lines = PEM_BODY.split("\n")[10:]
    end = "-----END RSA PRIVATE KEY-----"
    assert Redactor().mask("\n".join(["before:", *lines, end, "after"])) == "before:\n«secret:1»\nafter"
    assert Redactor().mask("\\n".join(["'before:", *lines, end]) + "'") == "'before:\\n«secret:1»'"
    assert Redactor().mask(f"see {lines[0]}\n{lines[1]}\n{end}") == "see «secret:1»"
    assert Redactor().mask(f"prose, not a key\n{end}") == "prose, not a key\n«secret:1»"


def test_two_conversations_remember_the_same_secret_under_different_hashes() -> None:
    one, two = Redactor(), Redactor()
    for redactor in (one, two):
        redactor.mask('password = "hunter2"')
    assert not set(one.state.numbers) & set(two.state.numbers)


def test_values_of_sensitive_variables_are_masked_however_they_are_spelled() -> None:
    value = 'tr"icky\\pass/wört'
    redactor = Redactor(environ={"DB_PASSWORD": value, "HOME": "/home/me", "LANG": "ko_KR.UTF-8"})
    for text in (
        value,
        json.dumps(value),
        json.dumps(value, ensure_ascii=False),
        repr(value),
        "tr%22icky%5Cpass%2Fw%C3%B6rt",
    ):
        masked = redactor.mask(f"it is {text}.")
        assert "icky" not in masked and "«secret:" in masked
    assert redactor.mask("/home/me ko_KR.UTF-8") == "/home/me ko_KR.UTF-8"


def test_a_password_inside_a_variables_url_is_masked_alone() -> None:
    redactor = Redactor(environ={"DATABASE_URL": "postgres://app:s3cr3tpw@db/x"})
    assert redactor.mask("connected to db as app with s3cr3tpw") == "connected to db as app with «secret:1»"


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("GITHUB_PAT", "correct-horse", "correct-horse"),
        ("SENTRY_DSN", "https://abcdef0123@sentry.intranet/7", "https://abcdef0123@sentry.intranet/7"),
        ("CONNECTION_STRING", "Server=db;Database=x;Pwd=hunterpw", "hunterpw"),
        ("DATABASE_DSN", "dbname=x user=bob password=hunterpw", "hunterpw"),
        ("COOKIE", "session=correct-horse", "session=correct-horse"),
        ("AUTH", "bob:correct-horse", "bob:correct-horse"),
        ("SLACK_WEBHOOK_URL", "https://hooks.intranet/T0/B0/x", "https://hooks.intranet/T0/B0/x"),
        ("DATABASE_URL", "postgres://app:hunter/pw@db/x", "hunter/pw"),
        ("DATABASE_URL", "jdbc:postgresql://db/x?user=app&password=hunterpw", "hunterpw"),
    ],
)
def test_a_variable_whose_name_or_value_says_secret_is_known_when_its_value_is_printed(
    name: str, value: str, secret: str
) -> None:
    assert Redactor(environ={name: value}).mask(f"it printed {secret} then") == "it printed «secret:1» then"


def test_folders_and_programs_in_the_environment_are_no_secrets() -> None:
    environ = {
        "PWD": "C:\\work\\x",
        "OLDPWD": "/home/me",
        "PATH": "/usr/bin:/bin",
        "XAUTHORITY": "/x/y",
        "PATCH": "v1.2.3",
    }
    assert environment_values(environ) == ()


def test_common_and_short_values_of_the_environment_are_no_secrets() -> None:
    environ = {
        "A_TOKEN": "true",
        "B_SECRET": "12345",
        "C_PASSWORD": "jovyan",
        "SSH_AUTH_SOCK": "/run/ssh.sock",
        "D_KEY": "",
    }
    assert environment_values(environ) == ()


def test_a_short_value_is_masked_only_as_a_word() -> None:
    redactor = Redactor(environ={"APP_PASSWORD": "sesame"})
    assert redactor.mask("open sesame, sesameseed") == "open «secret:1», sesameseed"


def test_an_aws_secret_beside_its_key_is_masked_without_a_name() -> None:
    text = "AKIA" + "IOSFODNN7EXAMPLE,wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    assert Redactor().mask(text) == "«secret:1»,«secret:2»"


def test_korean_text_is_untouched() -> None:
    text = "데이터프레임의 결측치를 채우고, 평균을 그려 주세요. 토큰: 없음, 비밀번호는 나중에 🙂 한\u200d글"
    assert Redactor().mask(text) == text


@pytest.mark.parametrize(
    "piece",
    ["token=", 'secret: "', "-----BEGIN PRIVATE KEY-----\n", "-----END PRIVATE KEY-----", "eyJ", ".eyJ" + "a" * 20, "://a:",
     "://u:" + "p" * 300, "AKIA", "bearer ", "password='", "key=", "x-api_key: [", "A" * 64 + "\n", "--password ",
     "\\n", "İsecret", "pass:", "pw=a ", "x=secret ", "암호는 ", "<password>", "auth=('", "authorization: a ",
     "cookie: a=", "identified by ", "curl -u a:", "curl", "login x password ", "password is ", "password: ['a1', ",
     "secrets=['a', ", "passwd: " + "x" * 300, "mysql -p"],
)  # fmt: skip
def test_a_megabyte_of_what_looks_like_the_beginning_of_a_secret_is_read_in_linear_time(piece: str) -> None:
    # quadratic work over the hits of one megabyte would run into the time limit
    text = piece * (1_000_000 // len(piece))
    assert isinstance(find_secrets(text, ("correct horse", "token=")), list)


def test_ten_megabytes_of_output_with_one_secret_at_the_end_are_masked() -> None:
    text = "epoch 1: loss=0.123 path=/data/a.csv (token 17)\n" * 200_000 + "password = 'hunter2'"
    assert Redactor().mask(text).endswith("password = '«secret:1»'")


def test_spans_are_sorted_and_apart() -> None:
    text = "\n".join(text for text, _ in ASSIGNMENTS) + PEM
    spans = find_secrets(text, ("hunter2", "s3cr3t"))
    assert all(one.end <= two.start for one, two in itertools.pairwise(spans))


LONG, SHORT = "correct-horse-battery", "hunter2!"
ENVIRON = {"DB_PASSWORD": LONG, "API_TOKEN": SHORT}


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("before", ["", "u", "us", "use", "user:"])
@pytest.mark.parametrize("behind", ["", "@", "@h", "@host/db"])
def test_a_value_of_the_environment_is_masked_in_base64_wherever_it_stands_in_it(
    encode: Callable[[bytes], bytes], before: str, behind: str
) -> None:
    encoded = encode(f"{before}{LONG}{behind}".encode()).decode()
    masked = Redactor(environ=ENVIRON).mask(f"config: {encoded}\nnext line")
    assert masked.rstrip("=").startswith("config: «secret:1»") and masked.endswith("\nnext line")
    assert encoded.rstrip("=") not in masked


def test_a_short_value_of_the_environment_is_masked_when_it_was_encoded_alone() -> None:
    encoded = base64.b64encode(SHORT.encode()).decode()
    assert Redactor(environ=ENVIRON).mask(f"data:\n  token: {encoded}\n").startswith("data:\n  token: «secret:1»")
    assert Redactor(environ=ENVIRON).mask(f"x{encoded.rstrip('=')}y") == f"x{encoded.rstrip('=')}y"


def test_base64_of_something_else_is_left_alone() -> None:
    text = "\n".join(base64.b64encode(f"row {n} of a picture".encode()).decode() for n in range(200))
    assert Redactor(environ=ENVIRON).mask(text) == text
