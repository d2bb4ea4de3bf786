"""Decides which environment properties a program of root gets.

The properties are the application's: `PYTHONPATH` and the like name directories of the release,
which the application's user may write to. A program of root that is given one of them runs that
user's code as root.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

#: Directories of the system's programs; the application's user may write to none of them.
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: Beginnings of names by which the dynamic linker, a shell, an interpreter or a tool is told where
#: to load code from, what to execute, or where its settings are. Sources: ld.so(8), bash(1), and
#: the manuals of Python, Node.js, npm, Perl, Ruby, PHP, Java, .NET, Git, OpenSSL, make, tar, apt,
#: wget, curl, rsync, psql, Readline, less and vim.
_WITHHELD_BEGINNINGS: Final = (
    *("LD_", "DYLD_", "GLIBC_TUNABLES", "GCONV_PATH", "MALLOC_", "LOCPATH", "NLSPATH", "TZDIR"),
    *("HOSTALIASES", "LOCALDOMAIN", "RES_OPTIONS", "NIS_PATH", "GETCONF_DIR"),
    *("BASH", "SHELLOPTS", "PROMPT_COMMAND", "GLOBIGNORE", "CDPATH", "ZDOTDIR"),
    *("PYTHON", "VIRTUAL_ENV", "PIP_"),
    *("NODE_OPTIONS", "NODE_PATH", "NODE_REPL", "NODE_EXTRA_CA_CERTS", "NPM_", "YARN_"),
    *("PERL", "RUBY", "GEM_", "BUNDLE_", "RACK_CONFIG"),
    *("PHPRC", "PHP_INI_SCAN_DIR", "COMPOSER_"),
    *("JAVA_TOOL_OPTIONS", "JAVA_OPTS", "JDK_JAVA_OPTIONS", "_JAVA_", "CLASSPATH", "JAVA_HOME"),
    *("DOTNET_", "CORECLR_", "COMPLUS_"),
    *("GIT_", "GOFLAGS", "GOPATH", "GOBIN", "GOROOT", "CARGO_", "RUSTC"),
    *("LUA_", "TCLLIBPATH", "ERL_", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"),
    *("BOTO_CONFIG", "KUBECONFIG", "ANSIBLE_", "TAR_OPTIONS", "APT_CONFIG", "DPKG_", "RPM_"),
    *("WGETRC", "SYSTEM_WGETRC", "CURL_HOME", "RSYNC_", "SSH_ASKPASS", "SUDO_", "GNUPGHOME"),
    *("PSQLRC", "PGSYSCONFDIR", "PGSERVICEFILE", "MYSQL_HOME", "INPUTRC", "TERMINFO", "TERMCAP"),
    *("VIMINIT", "EXINIT", "NANORC", "SCREENRC", "ZIPOPT", "UNZIP"),
    *("OPENSSL_", "SSLKEYLOGFILE", "MAKEFLAGS", "MAKEFILES", "DOCKER_", "SYSTEMD_", "XDG_"),
)
#: Whole names that are withheld, for the same reason; and those that root has its own of.
_WITHHELD: Final = frozenset(
    {
        *("PATH", "HOME", "SHELL", "USER", "LOGNAME", "TMPDIR", "IFS", "ENV", "PS4", "LANG"),
        *("EDITOR", "VISUAL", "PAGER", "BROWSER", "LESS", "LESSOPEN", "LESSCLOSE", "MANPAGER"),
        "WORKER_TIER_PYTHON",
    }
)
_PATTERN: Final = re.compile("|".join(map(re.escape, _WITHHELD_BEGINNINGS)))


def withheld(names: Mapping[str, str]) -> list[str]:
    """Return the names of the environment properties that programs of root do not get, sorted."""
    return sorted(
        name
        for name in names
        if name.upper() in _WITHHELD or _PATTERN.match(name.upper()) is not None
    )


def for_root(properties: Mapping[str, str]) -> dict[str, str]:
    """Return the environment properties that programs of root get."""
    hidden = frozenset(withheld(properties))
    return {name: value for name, value in properties.items() if name not in hidden}
