"""The three hooks that pip calls (PEP 517); see __init__.py."""
import os


def get_requires_for_build_wheel(config_settings=None):
    return []


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    name, version = os.environ["TRESOR_STUB_NAME"], os.environ["TRESOR_STUB_VERSION"]
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    os.makedirs(os.path.join(metadata_directory, info))
    with open(os.path.join(metadata_directory, info, "METADATA"), "w", encoding="utf-8") as f:
        f.write(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return info


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    raise SystemExit("this stub builds nothing")
