"""What the overlays of Kubernetes come to."""

import pytest
from deploy_files import OVERLAYS, Manifests, rendered


@pytest.fixture(params=OVERLAYS)
def manifests(request: pytest.FixtureRequest) -> Manifests:
    return rendered(f"overlays/{request.param}")


@pytest.fixture
def production() -> Manifests:
    return rendered("overlays/example-production")
