"""The ASGI entry point: Envoy's discovery requests first, Django behind them."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rollbackhub.settings")

django_application = get_asgi_application()

from rollbackhub.local.lifespan import WithHeartbeat  # noqa: E402  (models need Django set up first)
from rollbackhub.routing.xds.app import DiscoveryApp  # noqa: E402

application = WithHeartbeat(DiscoveryApp(django_application))
