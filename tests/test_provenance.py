"""Library versions and the machine are written down; digests of values do not depend on order or machine."""

from __future__ import annotations

from denoisebench.core.provenance import distribution_versions, fingerprint, full_digest, machine, versions


def test_versions_name_what_is_absent() -> None:
    found = versions(["numpy", "no-such-package-at-all"])
    assert found["no-such-package-at-all"] == "absent"
    assert found["numpy"][0].isdigit()


def test_modules_are_named_with_the_distribution_they_belong_to() -> None:
    found = distribution_versions(["skimage", "no_such_module_at_all"])
    assert found["skimage"] == f"scikit-image {versions(['scikit-image'])['scikit-image']}"
    assert found["no_such_module_at_all"] == ""
    assert distribution_versions([]) == {}


def test_digests_do_not_depend_on_the_order_of_keys() -> None:
    assert full_digest({"a": 1, "b": [1.0, "σ"]}) == full_digest({"b": [1.0, "σ"], "a": 1})
    assert full_digest({"a": 1}) != full_digest({"a": 1.5})
    assert full_digest({"a": None}) != full_digest({"a": "None"})
    assert fingerprint({"a": 1}) == full_digest({"a": 1})[:12]


def test_a_digest_is_the_same_on_every_machine() -> None:
    known = "23e3670f344f0d80aa554809716067510dfe7728e79d9bf9a80ccc9535361502"  # by hand: {"a":true,"b":[0.1,"σ"]}
    assert full_digest({"b": [0.1, "σ"], "a": True}) == known


def test_the_record_of_the_machine_names_python_and_processor() -> None:
    found = machine()
    assert set(found) == {"python", "platform", "processor", "cores"}
    assert found["cores"] >= 1
