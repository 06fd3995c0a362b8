"""The contract's asserts explain themselves as a test's own do."""

import pytest

pytest.register_assert_rewrite("tests.contracts.inbox")
