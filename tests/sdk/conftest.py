"""Fixtures: deployments of the real daemon, and clients of it."""

import pytest

import clients
from deployment import Deployment


@pytest.fixture
def deployment(tmp_path):
    """A daemon of this test's own."""
    made = Deployment(tmp_path)
    made.start()
    yield made
    made.close()


@pytest.fixture
def unstarted(tmp_path):
    """A daemon that the test starts itself."""
    made = Deployment(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="session")
def kms(tmp_path_factory):
    """A daemon that tests without a migration share; each makes resources of its own."""
    made = Deployment(tmp_path_factory.mktemp("kms"))
    made.start()
    yield made
    made.close()


@pytest.fixture(params=clients.KINDS)
def sdk(request, kms):
    """Each of the vendor's clients in turn."""
    return kms.sdk(request.param)


@pytest.fixture
def refused():
    """Runs a call that has to be refused; answers code and status."""

    def check(code, call, *arguments, **parameters):
        with pytest.raises(clients.Refused) as caught:
            call(*arguments, **parameters)
        assert caught.value.code == code, str(caught.value)
        return caught.value

    return check
