"""Finds the option settings in each of the forms in which people have them.

| form | where it comes from |
|---|---|
| namespace -> option -> value | `option_settings` of `.ebextensions`, saved configurations |
| list of namespace, option_name, value | `.ebextensions`, API, CloudFormation, Terraform |
| `option_settings` beside other keys | a whole `.config` file |
| `OptionSettings` beside other keys | saved configurations, `env.yaml`, one described environment |
| `settings` beside other keys | what `eb config --display` prints |
| `ConfigurationSettings` | `aws elasticbeanstalk describe-configuration-settings` |
| `Resources` | a CloudFormation template with an environment |
| `resource` | a configuration of Terraform in JSON |

Sources: Elastic Beanstalk developer guide, "Option settings", "Saved configurations", "Precedence".
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from worker_tier_bootstrap.beanstalk.documents import (
    Entry,
    Items,
    Node,
    Scalar,
    Table,
    Unusable,
    shown,
    shown_name,
)
from worker_tier_bootstrap.beanstalk.findings import Finding, Outcome, Place
from worker_tier_bootstrap.beanstalk.foreign import TERRAFORM_HINT
from worker_tier_bootstrap.beanstalk.functions import Resolver, Unresolved, why_unknown
from worker_tier_bootstrap.beanstalk.options import namespaces_of, rows_of

#: Where Elastic Beanstalk puts an entry that names no namespace.
DEFAULT_NAMESPACE: Final = "aws:elasticbeanstalk:application:environment"
#: The one namespace in which a name may be set once for each resource.
SCHEDULED_ACTIONS: Final = "aws:autoscaling:scheduledaction"
_ENVIRONMENT: Final = "AWS::ElasticBeanstalk::Environment"
_TEMPLATE: Final = "AWS::ElasticBeanstalk::ConfigurationTemplate"
_DESCRIBE: Final = (
    "aws elasticbeanstalk describe-configuration-settings --application-name APPLICATION"
    " --environment-name ENVIRONMENT"
)
_TERRAFORM: Final = "aws_elastic_beanstalk_environment"
_TERRAFORMS_SETTINGS: Final = (
    "this is Terraform's state or plan; pass the list `setting` or `all_settings` of the resource"
    f" {_TERRAFORM}"
)
#: Most keys of an entry that a message names.
_MOST_KEYS: Final = 5
#: What people write for `option_settings`, in lower case and letters only.
_MISSPELT: Final = frozenset(
    {"optionsettings", "optionsetting", "optionssettings", "optionssetting", "optionsseting"}
)
#: Keys that hold option settings, whatever stands beside them.
_CONTAINERS: Final = ("option_settings", "OptionSettings", "ConfigurationSettings")
_DESCRIBED: Final = f"pass what `{_DESCRIBE}` prints"
#: Spellings of an entry's keys, in lower case without underscores and hyphens -> what they name.
_KEYS: Final = {
    "namespace": "namespace",
    "optionname": "option",
    "name": "option",
    "value": "value",
    "resourcename": "resource",
    "resource": "resource",
}
#: What an entry of a list names, and a mapping of namespaces does not.
_ALONE: Final = frozenset({"option", "value"})
#: What an entry's key names -> its name in messages.
_MEANINGS: Final = {
    "namespace": "namespace",
    "option": "option name",
    "resource": "ResourceName",
    "value": "value",
}
#: Keys of described environments and saved configurations that say nothing to be carried over.
_ABOUT: Final = frozenset(
    {
        "ApplicationName", "AWSConfigurationTemplateVersion", "AWSEBEnvironmentVersion", "CName",
        "CNAMEPrefix", "DateCreated", "DateModified", "DateUpdated", "DeploymentStatus",
        "Description", "EnvironmentConfigurationMetadata", "EnvironmentName", "EnvironmentTier",
        "Platform", "PlatformArn", "ResponseMetadata", "SolutionStack", "SolutionStackName",
        "SourceConfiguration", "TemplateName", "Tier", "VersionLabel",
    }
)  # fmt: skip
#: What else a `.config` file may hold -> what to write in its place.
_CONFIG_KEYS: Final = {
    "commands": "write them as scripts in .platform/hooks/prebuild",
    "container_commands": "write them as scripts in .platform/hooks/predeploy",
    "files": "put the files into the bundle, or write them in a script in .platform/hooks/prebuild",
    "packages": "install them in a script in .platform/hooks/prebuild",
    "services": "start them from the Procfile, or in a script in .platform/hooks/postdeploy",
    "sources": "unpack them in a script in .platform/hooks/prebuild",
    "users": "make them in a script in .platform/hooks/prebuild",
    "groups": "make them in a script in .platform/hooks/prebuild",
    "Resources": "make the resources in the stack that holds the tier",
    "Outputs": "make the outputs in the stack that holds the tier",
    "Parameters": "write the values in the stack that holds the tier",
    "Mappings": "only option settings read them; write other values in the stack",
    "Conditions": "write them in the stack that holds the tier",
}
_OWN_QUEUE: Final = (
    "set aws:elasticbeanstalk:sqsd:VisibilityTimeout to what Resources gives AWSEBWorkerQueue, or"
    " pass visibility_timeout=; make other resources in the stack that holds the tier"
)
#: Documents that people pass by mistake: the key they are known by -> the hint.
_OTHERS: Final = {
    "Options": f"this lists the options that there are; pass what `{_DESCRIBE}` prints",
    "Environments": f"this lists environments; pass what `{_DESCRIBE}` prints",
    "EnvironmentResources": f"this lists resources; pass what `{_DESCRIBE}` prints",
    "branch-defaults": "this configures the EB CLI; pass what `eb config save` wrote",
    "terraform_version": _TERRAFORMS_SETTINGS,
    "format_version": _TERRAFORMS_SETTINGS,
    "address": "this is a resource of Terraform; pass the list `setting` of its `values`",
    "AWSEBDockerrunVersion": "this is a Dockerrun.aws.json; pass its image as"
    " application=WorkerApplication.from_container(...)",
    "cron": "this is a cron.yaml; pass it as periodic_tasks=",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """Is one entry: an option, and the value that the document gives it.

    Args:
        resource: the resource's name, or None if the entry has none.
        bare: whether it is a key of a mapping without any value.
    """

    namespace: str
    option: str
    resource: str | None
    value: Node
    place: Place
    bare: bool = False

    @property
    def key(self) -> tuple[str, str, str | None]:
        """Return what two entries share of which the later wins."""
        apart = self.namespace == SCHEDULED_ACTIONS
        return self.namespace, self.option, self.resource if apart else None


@dataclass
class Collected:
    """Holds what stands in a document.

    Args:
        settings: the entries in the document's order; of two for one option only the later.
        findings: what is no option setting, and what is set twice.
        mappings: the template's `Mappings`, or None.
        parameters: the template's `Parameters`, or None.
    """

    settings: dict[tuple[str, str, str | None], Setting] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    mappings: Table | None = None
    parameters: Table | None = None

    def add(self, setting: Setting) -> None:
        """Take an entry; a former one of the same option is passed over."""
        former = self.settings.pop(setting.key, None)
        if former is not None and former.value != setting.value:
            self.findings.append(
                Finding(
                    outcome=Outcome.PASSED_OVER,
                    message=f"{former.namespace}:{former.option} is set again later, which wins",
                    hint="remove one",
                    namespace=former.namespace,
                    option=former.option,
                    place=former.place,
                    loses=True,
                )
            )
        self.settings[setting.key] = setting

    def refuse(self, message: str, hint: str, place: Place) -> None:
        """Report what cannot be read."""
        self.findings.append(
            Finding(outcome=Outcome.REFUSED, message=message, hint=hint, place=place)
        )

    def pass_over(self, message: str, hint: str, place: Place) -> None:
        """Report what is no option setting and is left out."""
        self.findings.append(
            Finding(
                outcome=Outcome.PASSED_OVER, message=message, hint=hint, place=place, loses=True
            )
        )


def collect(root: Node) -> Collected:
    """Return the option settings of a document, whatever its form."""
    found = Collected()
    match root:
        case Scalar(value=None):
            found.refuse("the document is empty", f"pass what `{_DESCRIBE}` prints", root.place)
        case Scalar():
            found.refuse(
                f"the document is a text, got {shown(root)}",
                "pass the text of a YAML or JSON document, or a pathlib.Path to read a file",
                root.place,
            )
        case Unusable():
            found.refuse(f"the document cannot be read: {root.problem}", root.hint, root.place)
        case Items():
            _list(root, found)
        case Table():
            _document(root, found)
    return found


def collect_option_settings(node: Node, mappings: Table | None) -> Collected:
    """Return the option settings of one `.config` file, of which all else is read elsewhere."""
    found = Collected(mappings=mappings)
    if not _is_empty(node):
        _settings(node, "option_settings", found)
    return found


def _document(root: Table, found: Collected) -> None:
    readers = {
        "ConfigurationSettings": _described,
        "OptionSettings": _saved,
        "option_settings": _config_file,
        "settings": _saved,
        "setting": _terraform,
        "all_settings": _terraform,
        "Resources": _template,
    }
    if (resources := root.get("resource")) is not None and _environments(resources):
        _terraform_configuration(resources, found)
        return
    if _is_config_file(root):
        _other_keys(root, found)
        return
    if _is_output(root):
        problem = "this is what `terraform output -json` prints"
        found.refuse(problem, "pass the `value` of one output", root.place)
        return
    for key, read in readers.items():
        node = root.get(key)
        if node is not None:
            mappings = root.get("Mappings")
            found.mappings = mappings if isinstance(mappings, Table) else None
            parameters = root.get("Parameters")
            found.parameters = parameters if isinstance(parameters, Table) else None
            _refuse_repeated(root, key, found)
            if read is not _template and _refuse_unindented(root, key, node, found):
                return
            if read not in (_saved, _config_file):  # these report every other key
                _others(root, key, readers, found)
            read(root, node, found)
            return
    for key, hint in _OTHERS.items():
        if root.get(key) is not None:
            found.refuse(f"the document has no option settings, but `{key}`", hint, root.place)
            return
    for entry in root.entries:
        if "".join(filter(str.isalpha, entry.key.lower())) in _MISSPELT:
            found.refuse(
                f"`{entry.key}` is not known here, and none of its options is read",
                "write option_settings",
                entry.place,
            )
            return
    _namespaces(root, found)


def _is_output(root: Table) -> bool:
    """Return whether each entry is an output of Terraform, with its type and its value."""
    tables = [entry.value for entry in root.entries if isinstance(entry.value, Table)]
    outputs = [table for table in tables if set(table.keys()) == {"sensitive", "type", "value"}]
    return len(outputs) == len(root.entries) > 0


def _refuse_unindented(root: Table, key: str, node: Node, found: Collected) -> bool:
    """Refuse namespaces that stand beside their key; return whether the key has nothing else."""
    beside = [entry for entry in root.entries if entry.key.startswith("aws:")]
    for entry in beside:
        found.refuse(
            f"`{entry.key}` stands beside {key} and not in it",
            f"indent it and its options below {key}",
            entry.place,
        )
    return bool(beside) and _is_empty(node)


def _others(root: Table, chosen: str, containers: Collection[str], found: Collected) -> None:
    """Report other containers of option settings, which are not read beside the chosen one."""
    for entry in root.entries:
        if entry.key != chosen and entry.key in containers:
            _unknown_key(entry, found)


def _refuse_repeated(table: Table, key: str, found: Collected) -> None:
    """Refuse a key that stands more than once in a mapping, of which the last would win."""
    places = [entry.place for entry in table.entries if entry.key == key]
    if len(places) > 1:
        found.refuse(
            f"{key} stands {len(places)} times in one mapping",
            "write all of it under one key",
            places[0],
        )


def _is_config_file(root: Table) -> bool:
    """Return whether the document is a `.config` file without option settings.

    A `.config` file has resources as a template has; those of Elastic Beanstalk's own stack have
    its prefix, and an environment among them makes it a template.
    """
    keys = root.keys()
    if not keys or not all(key in _CONFIG_KEYS for key in keys):
        return False
    resources = _entries(root.get("Resources") or Scalar(None, root.place))
    if any(_type(entry) in (_ENVIRONMENT, _TEMPLATE) for entry in resources):
        return False
    if any(entry.key.startswith("AWSEB") for entry in resources):
        return True
    return not set(keys) <= {"Resources", "Outputs", "Parameters", "Mappings", "Conditions"}


# ---- described environments


def _described(root: Table, node: Node, found: Collected) -> None:
    sets = node.items if isinstance(node, Items) else ()
    if not sets:
        found.refuse(
            "ConfigurationSettings is empty: no environment was found",
            f"check the names and the region, and pass what `{_DESCRIBE}` prints",
            node.place,
        )
        return
    _one_of(list(sets), found, node.place)


def _one_of(sets: list[Node], found: Collected, place: Place) -> None:
    """Read the one described set, or ask which of several."""
    tables = [item for item in sets if isinstance(item, Table)]
    if len(tables) < len(sets):
        found.refuse("a described environment must be a mapping", "pass the whole dump", place)
        return
    if len(tables) > 1:
        names = ", ".join(_status(table) for table in tables)
        found.refuse(
            f"the document has {len(tables)} sets of settings: {names}",
            "pass one of them alone, such as ConfigurationSettings[0]: the deployed one is what"
            " runs now, the pending one what was asked for since",
            place,
        )
        return
    (table,) = tables
    _refuse_repeated(table, "OptionSettings", found)
    _saved(table, table.get("OptionSettings") or Scalar(None, table.place), found)


def _status(table: Table) -> str:
    parts = (table.get("DeploymentStatus"), table.get("EnvironmentName"))
    texts = [shown_name(part.value) for part in parts if isinstance(part, Scalar) and part.value]
    return " ".join(texts) or "one without a DeploymentStatus"


def _saved(root: Table, node: Node, found: Collected) -> None:
    """Read a saved configuration, an `env.yaml`, `eb config`, or one described environment."""
    _tier(root, found)
    if (tags := root.get("Tags")) is not None and not _is_empty(tags):
        found.pass_over(
            "Tags are no option settings and are passed over",
            "add them in code, as in Tags.of(tier).add(...)",
            tags.place,
        )
    name = "settings" if root.get("settings") is node else "OptionSettings"
    for entry in root.entries:
        if entry.key not in _ABOUT | {name, "Tags"} and not entry.key.startswith("aws:"):
            _unknown_key(entry, found)
    _settings(node, name, found)


def _tier(root: Table, found: Collected) -> None:
    node = root.get("EnvironmentTier", "Tier")
    name = node.get("Name") if isinstance(node, Table) else None
    if isinstance(name, Scalar) and name.value not in (None, "Worker"):
        kind = "WebServer" if name.value == "WebServer" else "different"
        found.pass_over(
            f"the settings are those of a {kind} environment, which has no queue",
            "pass a worker environment's, or set the options of aws:elasticbeanstalk:sqsd",
            name.place,
        )


def _is_empty(node: Node) -> bool:
    match node:
        case Scalar(value=value):
            return value is None
        case Items(items=items):
            return not items
        case Table(entries=entries):
            return not entries
        case Unusable():
            return False


# ---- files


def _config_file(root: Table, node: Node, found: Collected) -> None:
    _other_keys(root, found)
    _settings(node, "option_settings", found)


def _other_keys(root: Table, found: Collected) -> None:
    for entry in root.entries:
        if entry.key in _CONFIG_KEYS:
            found.pass_over(
                f"`{entry.key}` is no option setting and is passed over",
                _OWN_QUEUE if _changes_queue(entry) else _CONFIG_KEYS[entry.key],
                entry.place,
            )
        elif entry.key != "option_settings" and not entry.key.startswith("aws:"):
            _unknown_key(entry, found)


def _changes_queue(entry: Entry) -> bool:
    """Return whether resources give Elastic Beanstalk's queue another visibility timeout."""
    node: Node | None = entry.value
    for key in ("AWSEBWorkerQueue", "Properties", "VisibilityTimeout"):
        node = node.get(key) if isinstance(node, Table) else None
    return entry.key == "Resources" and node is not None


def _unknown_key(entry: Entry, found: Collected) -> None:
    if "=" in entry.key:
        _refuse_equals(entry, "", DEFAULT_NAMESPACE, found)
        return
    found.pass_over(
        f"`{shown_name(entry.key)}` is not known beside option settings and is passed over",
        "correct its name or remove it",
        entry.place,
    )


def _terraform(root: Table, node: Node, found: Collected) -> None:
    _settings(node, "setting", found)


def _environments(node: Node) -> list[Entry]:
    """Return the environments of a configuration of Terraform."""
    tables = node.items if isinstance(node, Items) else (node,)
    kinds = [t.get(_TERRAFORM) for t in tables if isinstance(t, Table)]
    return [entry for kind in kinds if kind is not None for entry in _entries(kind)]


def _terraform_configuration(resources: Node, found: Collected) -> None:
    """Read the one environment of a configuration, or the one worker of several."""
    environments = _environments(resources)
    workers = [e for e in environments if _terraform_tier(e.value) == "Worker"]
    chosen = environments if len(environments) == 1 else workers
    if len(chosen) != 1:
        names = ", ".join(shown_name(entry.key) for entry in environments)
        found.refuse(
            f"the configuration has {len(environments)} environments: {names}",
            "pass the list `setting` of the worker environment alone",
            resources.place,
        )
        return
    body = chosen[0].value
    if isinstance(body, Items) and len(body.items) == 1:
        body = body.items[0]
    if not isinstance(body, Table):
        problem = f"{shown_name(chosen[0].key)} must be a mapping, got {shown(body)}"
        found.refuse(problem, "write the arguments of one resource", body.place)
        return
    if (blocks := body.get("dynamic")) is not None:
        found.refuse("a dynamic block makes settings when Terraform runs", _DESCRIBED, blocks.place)
    node = body.get("setting") or Scalar(None, body.place)
    _settings(Items((node,), node.place) if isinstance(node, Table) else node, "setting", found)
    for key, setting in found.settings.items():
        if isinstance(setting.value, Scalar) and "${" in (setting.value.value or ""):
            found.settings[key] = replace(setting, value=_expression(setting.value.place))


def _expression(place: Place) -> Unusable:
    return Unusable("an expression of Terraform has its value when Terraform runs", "", place)


def _terraform_tier(node: Node) -> str | None:
    body = node.items[0] if isinstance(node, Items) and node.items else node
    tier = body.get("tier") if isinstance(body, Table) else None
    return tier.value if isinstance(tier, Scalar) else None


# ---- templates


def _template(root: Table, node: Node, found: Collected) -> None:
    resources = [entry for entry in _entries(node) if isinstance(entry.value, Table)]
    environments = [e for e in resources if _type(e) == _ENVIRONMENT]
    if len(environments) > 1:
        environments = [e for e in environments if _is_worker(e)] or environments
    chosen = environments or [e for e in resources if _type(e) == _TEMPLATE]
    _refuse_functions(node, found)
    if (macro := root.get("Transform")) is not None:
        found.pass_over(
            "Transform is passed over, for no macro runs here",
            f"if it changes these settings, {_DESCRIBED}",
            macro.place,
        )
    if len(chosen) > 1:
        names = ", ".join(entry.key for entry in chosen)
        found.refuse(
            f"the template has {len(chosen)} environments: {names}",
            "pass the OptionSettings of the worker environment alone",
            node.place,
        )
    elif not chosen and not _functions_of(node):
        found.refuse(
            f"the template has no resource of the type {_ENVIRONMENT}",
            "pass the OptionSettings of the worker environment alone; a .config file without"
            " option_settings sets no options, and need not be passed",
            node.place,
        )
    if len(chosen) != 1:
        return
    _resource(chosen[0], resources, found)


def _resource(entry: Entry, resources: list[Entry], found: Collected) -> None:
    """Read an environment: the options of its template, and its own, which win."""
    table = entry.value
    assert isinstance(table, Table)
    if (condition := table.get("Condition")) is not None:
        found.pass_over(
            f"{entry.key} is made only on the condition {_condition(condition)}, which is passed"
            " over",
            "make the tier only where it is wanted",
            condition.place,
        )
    template = _template_of(entry, resources, found)
    inherited = None if template is None else _own_options(template, found)
    own = _own_options(entry, found)
    if inherited is not None:
        _settings(inherited, "OptionSettings", found)
    if own is None and inherited is None:
        _settings(Scalar(None, entry.place), "OptionSettings", found)
    elif own is not None and not _is_empty(own):
        _settings(own, "OptionSettings", found)


def _functions_of(node: Node) -> list[Entry]:
    """Return the functions that stand in a mapping in the place of its entries."""
    return [
        entry
        for entry in _entries(node)
        if entry.key.startswith("Fn::") or node.keys() == ["Ref"]  # type: ignore[union-attr]
    ]


def _refuse_functions(node: Node, found: Collected, what: str = "a part of the template") -> bool:
    """Refuse functions that make entries of a mapping; return whether there are any."""
    functions = _functions_of(node)
    for entry in functions:
        name = "::".join(entry.key.split("::")[:2])
        found.refuse(
            f"{what} is {name}: {why_unknown(name)}",
            f"write what the environment has in its place, or {_DESCRIBED}",
            entry.place,
        )
    return bool(functions)


def _own_options(entry: Entry, found: Collected) -> Node | None:
    """Return a resource's own OptionSettings, or None if it has none."""
    table = entry.value
    assert isinstance(table, Table)
    _refuse_repeated(table, "Properties", found)
    properties = table.get("Properties")
    if not isinstance(properties, Table):
        return None
    if _refuse_functions(properties, found, f"Properties of {entry.key}"):
        return Items((), properties.place)
    _refuse_repeated(properties, "OptionSettings", found)
    node = properties.get("OptionSettings")
    return None if node is None or _is_empty(node) else node


def _template_of(entry: Entry, resources: list[Entry], found: Collected) -> Entry | None:
    """Return the configuration template that an environment names, or None if it names none.

    A name of a template that is not in the document is refused, for its options would be lost.
    """
    properties = entry.value.get("Properties") if isinstance(entry.value, Table) else None
    node = properties.get("TemplateName") if isinstance(properties, Table) else None
    if node is None or _is_empty(node) or _type(entry) == _TEMPLATE:
        return None
    reference = node.get("Ref") if isinstance(node, Table) else None
    name = reference.value if isinstance(reference, Scalar) else None
    for resource in resources:
        if resource.key == name and _type(resource) == _TEMPLATE:
            return resource
    found.refuse(
        f"{entry.key} has the options of a configuration template, TemplateName, that is not in the"
        " document",
        f"pass what `{_DESCRIBE}` prints, which has the options of both",
        node.place,
    )
    return None


def _condition(node: Node) -> str:
    return shown_name(node.value) if isinstance(node, Scalar) and node.value else shown(node)


def _entries(node: Node) -> tuple[Entry, ...]:
    return node.entries if isinstance(node, Table) else ()


def _type(entry: Entry) -> str | None:
    node = entry.value.get("Type") if isinstance(entry.value, Table) else None
    return node.value if isinstance(node, Scalar) else None


def _is_worker(entry: Entry) -> bool:
    node: Node | None = entry.value
    for key in ("Properties", "Tier", "Name"):
        node = node.get(key) if isinstance(node, Table) else None
    return isinstance(node, Scalar) and node.value == "Worker"


# ---- the settings themselves


def _settings(node: Node, name: str, found: Collected) -> None:
    if _is_empty(node):
        hint = f"pass what `{_DESCRIBE}` prints, or make a WorkerTier(...) without them"
        found.refuse(f"{name} is empty", hint, node.place)
        return
    if _refuse_functions(node, found, name):
        return
    match node:
        case Items():
            _list(node, found)
        case Table():
            _namespaces(node, found)
        case _:
            found.refuse(
                f"{name} must be a list or a mapping, got {shown(node)}",
                "write namespaces with their options",
                node.place,
            )


def _list(node: Items, found: Collected) -> None:
    if not node.items:
        found.refuse("the document is empty", f"pass what `{_DESCRIBE}` prints", node.place)
        return
    if all(isinstance(item, Table) and item.get("OptionSettings") for item in node.items):
        _one_of(list(node.items), found, node.place)
        return
    pages = [p for item in node.items if (p := _page(item)) is not None]
    if len(pages) == len(node.items):
        sets = [item for page in pages if isinstance(page, Items) for item in page.items]
        _described(Table((), node.place), Items(tuple(sets), node.place), found)
        return
    if problem := _list_problem(node):
        found.refuse(*problem, node.place)
        return
    for item in node.items:
        setting = _entry(item, found)
        if setting is not None:
            found.add(setting)


def _page(item: Node) -> Node | None:
    """Return the described environments of a dump in a list, as `--output yaml-stream` prints."""
    return item.get("ConfigurationSettings") if isinstance(item, Table) else None


def _list_problem(node: Items) -> tuple[str, str] | None:
    """Return what is wrong with a list whose items are no entries, and a hint, or None."""
    if all(isinstance(item, Unusable) for item in node.items):
        first = node.items[0]
        assert isinstance(first, Unusable)
        return f"the list has no entries: {first.problem}", first.hint
    if all(isinstance(item, Items) for item in node.items):
        return "the list has lists as its items", "pass one list of entries, such as the first"
    tables = [item for item in node.items if isinstance(item, Table)]
    if tables and all(t.entries and _is_namespace(t.entries[0]) for t in tables):
        return (
            "the list has namespaces as its items",
            "write them without hyphens, as keys of one mapping",
        )
    known = [t for t in tables if len(t.entries) == 1 and _meaning(t.entries[0]) is not None]
    if len(known) == len(node.items) > 1 and {_meaning(t.entries[0]) for t in known} > {"option"}:
        return (
            "each key of an entry is an entry of its own",
            "write namespace, option_name and value in one entry: only the first has a hyphen",
        )
    return None


def _is_namespace(entry: Entry) -> bool:
    return entry.key.startswith("aws:") and isinstance(entry.value, Table)


def _meaning(entry: Entry) -> str | None:
    """Return what a key of an entry names, or None if it is not known."""
    return _KEYS.get(entry.key.replace("_", "").replace("-", "").lower())


def _entry(item: Node, found: Collected) -> Setting | None:
    if isinstance(item, Unusable):
        found.refuse(f"an entry cannot be read: {item.problem}", item.hint, item.place)
        return None
    if not isinstance(item, Table):
        found.refuse(
            f"an entry must be a mapping, got {shown(item)}",
            "write namespace, option_name and value, or pass one pathlib.Path to read a file",
            item.place,
        )
        return None
    if item.keys() in (["Fn::If"], ["Ref"]):
        found.refuse(
            f"an entry is {item.keys()[0]}, which is decided when the template is deployed",
            "write the entry that the environment has",
            item.place,
        )
        return None
    if _refuse_functions(item, found, "an entry"):
        return None
    if any("=" in entry.key for entry in item.entries):
        found.refuse("an entry is in Terraform's language", TERRAFORM_HINT, item.place)
        return None
    nodes: dict[str, Node] = {}
    for entry in item.entries:
        meaning = _meaning(entry)
        if meaning is None:
            _unknown_key(entry, found)
        else:
            if meaning in nodes:
                found.refuse(
                    f"an entry has its {_MEANINGS[meaning]} more than once: {entry.key}",
                    "write one entry for each option",
                    entry.place,
                )
                return None
            nodes[meaning] = entry.value
    return _setting(item, nodes, found)


def _setting(item: Table, nodes: dict[str, Node], found: Collected) -> Setting | None:
    names: dict[str, str | None] = {}
    for meaning in ("namespace", "option", "resource"):
        try:
            names[meaning] = _name(nodes.get(meaning), found.mappings)
        except Unresolved as error:
            found.refuse(
                f"an entry's {_MEANINGS[meaning]} is not plain text: {error.reason}",
                "write the name that the environment has",
                error.place,
            )
            return None
    option = names["option"]
    if option is None:
        found.refuse(
            f"an option setting without its optionname: {_shown_keys(item) or 'nothing'}",
            "write namespace, option_name and value",
            item.place,
        )
        return None
    namespace = names["namespace"] or DEFAULT_NAMESPACE
    if "=" in namespace:
        _refuse_equals(Entry(namespace, item, item.place), "", "", found)
        return None
    if "=" in option:
        entry = Entry(option, item, item.place)
        _refuse_equals(entry, f" of {shown_name(namespace)}", "", found)
        return None
    if "value" not in nodes:
        # Dumps list each option that has no value.
        found.findings.append(
            Finding(
                outcome=Outcome.PASSED_OVER,
                message=f"{namespace}:{option} is passed over: it has no value",
                namespace=namespace,
                option=option,
                place=item.place,
            )
        )
        return None
    if names["namespace"] is None and (homes := namespaces_of(option)):
        found.pass_over(
            f"{option} has no namespace, and so is an environment property, as in Elastic"
            " Beanstalk",
            f"write namespace: {homes[0]} if its option is meant",
            item.place,
        )
    return Setting(
        namespace=namespace,
        option=option,
        resource=names["resource"],
        value=nodes["value"],
        place=item.place,
    )


def _name(node: Node | None, mappings: Table | None) -> str | None:
    """Return a name of an entry, or None if it is absent or empty.

    Raises:
        Unresolved: it is a function whose text is not known at synth, or no text at all.
    """
    if node is None:
        return None
    if isinstance(node, Scalar) and "`" not in (node.name or ""):
        return (node.name or "").strip() or None
    if isinstance(node, Items):
        raise Unresolved("it is a list", node.place)
    text = Resolver(mappings=mappings).text(node)
    if text is None:
        return None
    if text.literal is None:
        raise Unresolved("it is known only when the stack is deployed", node.place)
    return text.literal.strip() or None


def _shown_keys(item: Table) -> str:
    return ", ".join(map(shown_name, item.keys()[:_MOST_KEYS]))


def _namespaces(root: Table, found: Collected) -> None:
    if not root.entries:
        found.refuse("the document is empty", f"pass what `{_DESCRIBE}` prints", root.place)
    if {_meaning(entry) for entry in root.entries if isinstance(entry.value, Scalar)} >= _ALONE:
        found.refuse(
            "an entry of a list stands alone, as a mapping",
            "write a hyphen before the entry, as in `- namespace: ...`",
            root.place,
        )
        return
    above = ""
    for entry in root.entries:
        resource, namespace = split_resource(entry.key.strip())
        inner = [key for key in _CONTAINERS if _has(entry.value, key)]
        name = shown_name(entry.key.strip())
        if "=" in entry.key:
            _refuse_equals(entry, "", DEFAULT_NAMESPACE, found)
        elif inner and rows_of(namespace) is None:
            problem = f"{name} holds {inner[0]}, which is read at the beginning only"
            found.refuse(problem, f"pass what {name} holds", entry.place)
        elif isinstance(entry.value, Table):
            for setting in _options(entry.value, namespace, resource, found):
                found.add(setting)
        elif isinstance(entry.value, Unusable):
            problem = f"{name} cannot be read: {entry.value.problem}"
            found.refuse(problem, entry.value.hint, entry.place)
        elif _is_bare(entry) and not entry.key.startswith("aws:"):
            _refuse_bare(entry, found)
        elif not _is_empty(entry.value):
            found.refuse(
                f"{name} must have options, got {shown(entry.value)}",
                _scalar_hint(namespace, above),
                entry.place,
            )
            continue
        above = namespace if _is_empty(entry.value) else ""


def _has(node: Node, key: str) -> bool:
    return isinstance(node, Table) and node.get(key) is not None


def _scalar_hint(namespace: str, above: str) -> str:
    """Return the hint for a value in the place of options, below a namespace without any."""
    parent, _, option = namespace.rpartition(":")
    if rows_of(parent.rstrip(":")) is not None and rows_of(namespace) is None:
        return f"write {shown_name(option)} below {parent.rstrip(':')}"
    if namespace.startswith("aws:"):
        return "write a mapping of options to values under the namespace, without hyphens"
    if above.startswith("aws:"):
        return f"indent it below {above}"
    return f"write it under the namespace {DEFAULT_NAMESPACE} if it is an environment property"


def _options(
    table: Table, namespace: str, resource: str | None, found: Collected
) -> Iterator[Setting]:
    for entry in table.entries:
        if namespace.startswith("aws:") and _is_namespace(entry):
            found.refuse(
                f"{shown_name(entry.key)} stands among the options of {shown_name(namespace)}",
                "write it in the column of that namespace",
                entry.place,
            )
            continue
        bare = _is_bare(entry)
        if "=" in entry.key:
            _refuse_equals(entry, f" of {shown_name(namespace)}", "", found)
        elif bare and ":" in entry.key and entry.key not in (rows_of(namespace) or ()):
            option = shown_name(entry.key.partition(":")[0])
            found.refuse(
                f"{option} of {shown_name(namespace)} has no value: no blank stands behind its"
                " colon",
                f"write `{option}: value`",
                entry.place,
            )
        else:
            yield Setting(namespace, entry.key.strip(), resource, entry.value, entry.place, bare)


def _refuse_bare(entry: Entry, found: Collected) -> None:
    """Refuse a key without a value, which may be a value itself unless a colon stands in it."""
    before, colon, _ = entry.key.partition(":")
    name = shown_name(before) if colon else ""
    found.refuse(
        f"{name or 'a name'} has neither a value nor options",
        f"write `{name or 'NAME'}: value` under {DEFAULT_NAMESPACE} if it is an environment"
        " property",
        entry.place,
    )


def _is_bare(entry: Entry) -> bool:
    """Return whether a key of a mapping has no value."""
    return isinstance(entry.value, Scalar) and entry.value.value is None


def _refuse_equals(entry: Entry, of: str, namespace: str, found: Collected) -> None:
    """Refuse a name with an equals sign, behind which its value stands; this is not shown."""
    name = shown_name(entry.key)
    under = f" under {namespace}" if namespace else ""
    found.refuse(f"{name}{of} has an = in its name", f"write `{name}: value`{under}", entry.place)


def split_resource(key: str) -> tuple[str | None, str]:
    """Return resource and namespace of a saved configuration's key, such as
    `AWSEBCloudwatchAlarmLow.aws:autoscaling:trigger`; the resource is None if there is none.
    """
    resource, dot, namespace = key.partition(".aws:")
    return (resource, f"aws:{namespace}") if dot else (None, key)
