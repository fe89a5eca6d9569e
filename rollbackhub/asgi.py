"""The ASGI entry point: Envoy's discovery requests and posts of alerts first, Django behind them."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rollbackhub.settings")

django_application = get_asgi_application()

from rollbackhub.alerts.app import HooksApp  # noqa: E402  (models need Django set up first)
from rollbackhub.local.lifespan import WithHeartbeat  # noqa: E402
from rollbackhub.routing.xds.app import DiscoveryApp  # noqa: E402

application = WithHeartbeat(DiscoveryApp(HooksApp(django_application)))
