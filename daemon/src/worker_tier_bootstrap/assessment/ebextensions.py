"""Reports what becomes of each entry of `.ebextensions` that is no option setting.

Instances do not carry these entries out. Each is refused by its name, with the hook or the CDK
code to write in its place: without its package, its file or its migration an application fails
later, and less clearly. Values are not shown, for they may be secrets.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Final

from worker_tier_bootstrap.assessment.config_files import (
    DIRECTORY,
    SUFFIX,
    Command,
    ConfigFile,
    ConfiguredFile,
    Group,
    Package,
    Resource,
    Service,
    Source,
    User,
    is_config_file,
)
from worker_tier_bootstrap.assessment.contents import Contents
from worker_tier_bootstrap.assessment.report import effect, refusal, some, warning
from worker_tier_bootstrap.beanstalk.findings import Finding

_PREBUILD: Final = ".platform/hooks/prebuild"
_PREDEPLOY: Final = ".platform/hooks/predeploy"
_POSTDEPLOY: Final = ".platform/hooks/postdeploy"
#: Package manager of `packages` -> the command that installs with it.
_INSTALLERS: Final = {
    "apt": "apt-get install -y",
    "python": "python3 -m pip install",
    "rpm": "rpm -i",
    "rubygems": "gem install",
    "yum": "dnf install -y",
}
_SYSTEMS: Final = "; on Debian and Ubuntu it is apt-get, and the package's name there"


def ebextensions(contents: Contents, files: list[ConfigFile]) -> Iterator[Finding]:
    """Yield a finding for each file of `.ebextensions` and each entry in it."""
    for file in files:
        yield from file.findings
        if file.option_settings is not None:
            yield effect(f"{file.path} has option settings", file.path)
        yield from _entries(file)
    texts = {file.path: contents.read(file.path) or "" for file in files}
    for path in contents.under(DIRECTORY):
        if not is_config_file(path):
            yield _other(path, texts)


def _entries(file: ConfigFile) -> Iterator[Finding]:
    yield from _packages(file.packages)
    yield from map(_group, file.groups)
    yield from map(_user, file.users)
    yield from map(_source, file.sources)
    yield from map(_file, file.files)
    yield from (_command(command, "commands", _PREBUILD) for command in file.commands)
    yield from map(_service, file.services)
    for command in file.container_commands:
        yield _command(command, "container_commands", _PREDEPLOY)
    yield from map(_resource, file.resources)


def _packages(packages: list[Package]) -> Iterator[Finding]:
    for manager in dict.fromkeys(package.manager for package in packages):
        of_one = [package for package in packages if package.manager == manager]
        names = [_installed(package) for package in of_one]
        command = f"{_INSTALLERS.get(manager, manager + ' install')} {shlex.join(names)}"
        systems = _SYSTEMS if manager == "yum" else ""
        yield refusal(
            f"`packages` does not install {some([package.name for package in of_one])} ({manager})",
            f"write {_PREBUILD}/00_packages.sh: #!/bin/bash, then {command}{systems}",
            place=of_one[0].place,
        )


def _installed(package: Package) -> str:
    """Return what a package manager installs: the name, with a version or as a URL."""
    version = next(iter(package.versions), "")
    if not version:
        return package.name
    separator = {"python": "==", "apt": "=", "rubygems": ":"}.get(package.manager, "-")
    return version if "/" in version else f"{package.name}{separator}{version}"


def _group(group: Group) -> Finding:
    gid = f"--gid {group.gid} " if group.gid else ""
    command = f"groupadd --force {gid}{shlex.quote(group.name)}"
    return refusal(
        f"`groups` does not make the group {group.name}",
        f"write {_PREBUILD}/01_groups.sh: #!/bin/bash, then {command}",
        place=group.place,
    )


def _user(user: User) -> Finding:
    options = [
        *(["--uid", user.uid] if user.uid else []),
        *(["--groups", ",".join(user.groups)] if user.groups else []),
        *(["--home-dir", user.home] if user.home else []),
    ]
    name = shlex.quote(user.name)
    command = f"id {name} || {shlex.join(['useradd', '--system', *options])} {name}"
    return refusal(
        f"`users` does not make the user {user.name}",
        f"write {_PREBUILD}/02_users.sh: #!/bin/bash, then {command}",
        place=user.place,
    )


def _source(source: Source) -> Finding:
    unpack = "unzip" if source.url.endswith(".zip") else "tar -xz"
    return refusal(
        f"`sources` does not unpack anything into {source.directory}",
        f"write {_PREBUILD}/03_sources.sh: #!/bin/bash, then fetch its URL with curl -fsSL and"
        f" unpack it with {unpack}; or put the files into the bundle",
        place=source.place,
    )


def _file(file: ConfiguredFile) -> Finding:
    mode = f"-m {file.mode[-4:]} " if file.mode else ""
    install = f"install {mode}-o {file.owner} -g {file.group}"
    if file.content is not None:
        decoded = ", decoded from base64" if file.encoding == "base64" else ""
        how = f"put its content{decoded} into the bundle, and write {_PREBUILD}/04_files.sh:"
        how += f" #!/bin/bash, then {install} FILE {shlex.quote(file.path)}"
    elif file.authentication or file.source:
        role = " (grant s3:GetObject to the tier)" if file.authentication else ""
        how = f"write {_PREBUILD}/04_files.sh: #!/bin/bash, then fetch its source{role}, and"
        how += f" {install} FILE {shlex.quote(file.path)}"
    else:
        how = "give it a content or a source"
    return refusal(f"`files` does not write {file.path}", how, place=file.place)


def _command(command: Command, key: str, phase: str) -> Finding:
    kind = "line" if isinstance(command.command, str) else "program with its arguments"
    parts = [f"#!/bin/bash, then its {kind}"]
    if phase == _PREDEPLOY:
        parts.append("after `runuser -u webapp --` if it runs code of the application")
    if command.cwd:
        parts.append(f"in {command.cwd}")
    if command.environment:
        parts.append(f"with {', '.join(command.environment)} set")
    if command.test:
        parts.append("only if its test succeeds")
    if command.ignore_errors:
        parts.append("with `|| true` after it")
    if command.leader_only:
        parts.append("such that running it on each instance does no harm")
    leader = " on the leader" if command.leader_only else ""
    return refusal(
        f"`{key}` does not run {command.name}{leader}",
        f"write {phase}/{_script(command.name)}: {', '.join(parts)}",
        place=command.place,
    )


def _script(name: str) -> str:
    plain = "".join(letter if letter.isalnum() or letter in "_-." else "_" for letter in name)
    return plain if plain.endswith(".sh") else f"{plain}.sh"


def _service(service: Service) -> Finding:
    verbs = {True: ("enable", "restart"), False: ("disable", "stop")}
    commands = []
    if service.enabled is not None:
        commands.append(f"systemctl {verbs[service.enabled][0]} {shlex.quote(service.name)}")
    if service.running is not None:
        commands.append(f"systemctl {verbs[service.running][1]} {shlex.quote(service.name)}")
    restarts = ""
    if service.restarted_by:
        restarts = f"; it is restarted there for {some(service.restarted_by)}, too"
    return refusal(
        f"`services` does not change {service.name}",
        f"write {_POSTDEPLOY}/05_services.sh: #!/bin/bash, then"
        f" {' && '.join(commands) or 'what it needs'}{restarts}",
        place=service.place,
    )


def _resource(resource: Resource) -> Finding:
    if resource.name.startswith("AWSEB"):
        hint = (
            "use the props of the tier, or its parts, such as tier.queues and tier.fleet; there is"
            " no resource of Elastic Beanstalk to change"
        )
    elif resource.key == "Resources":
        hint = (
            f"make it in the stack that holds the tier ({_construct(resource.type)}), grant the"
            " tier what it needs, and pass names by environment={...}"
        )
    else:
        hint = "write it in the stack that holds the tier"
    type_ = f" ({resource.type})" if resource.type else ""
    message = f"`{resource.key}` does not make {resource.name}{type_}"
    if resource.key == "Mappings":
        return warning(f"{message}; option settings alone read it", hint, place=resource.place)
    return refusal(message, hint, place=resource.place)


def _construct(type_: str) -> str:
    """Return the module of the CDK for a type of resource, such as aws_cdk.aws_sns."""
    parts = type_.split("::")
    if len(parts) != 3 or parts[0] != "AWS":
        return "its construct of aws_cdk"
    return f"{parts[2]} of aws_cdk.aws_{parts[1].lower()}"


def _other(path: str, texts: dict[str, str]) -> Finding:
    name = path.rpartition("/")[2]
    users = [user for user, text in texts.items() if name in text]
    if path.startswith((f"{DIRECTORY}/nginx/", f"{DIRECTORY}/httpd/")):
        return warning(
            f"{path} has no effect: Elastic Beanstalk reads it on Amazon Linux 1 only",
            "move it to .platform/nginx/conf.d",
            path,
        )
    if users:
        return effect(f"{users[0]} names {path}", path)
    return warning(
        f"{path} is not read: names of configuration files end with {SUFFIX}, directly in"
        f" {DIRECTORY}",
        f"rename it to {DIRECTORY}/NAME{SUFFIX}, or move it out of the directory",
        path,
    )
