"""Django settings. What differs between installations comes from `rollbackhub.common.config`."""

from __future__ import annotations

from pathlib import Path

from csp.constants import NONE, SELF

from rollbackhub.common.config import load_config
from rollbackhub.common.database_url import database_from_url

BASE_DIR = Path(__file__).resolve().parent.parent
CONFIG = load_config()

SECRET_KEY = CONFIG.secret_key
DEBUG = CONFIG.debug
ALLOWED_HOSTS = CONFIG.allowed_hosts or ["localhost", "127.0.0.1", "[::1]", CONFIG.host]
CSRF_TRUSTED_ORIGINS = CONFIG.csrf_trusted_origins
PUBLIC_URL = CONFIG.public_url or f"http://{CONFIG.host}:{CONFIG.port}"

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "rollbackhub.accounts.admin_app.SettingsAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    "allauth",
    "allauth.account",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "csp",
    "rollbackhub.common",
    "rollbackhub.audit",
    "rollbackhub.accounts",
    "rollbackhub.actions",
    "rollbackhub.registry",
    "rollbackhub.routing",
    "rollbackhub.executions",
    "rollbackhub.rollbacks",
    "rollbackhub.readiness",
    "rollbackhub.releases",
    "rollbackhub.dashboard",
    "rollbackhub.api",
    "rollbackhub.lab",
    "rollbackhub.local",
    "drills",
    "incidents",
    "rollbackhub.analytics",
    "rollbackhub.reviews",
    "rollbackhub.alerts",
    "rollbackhub.postmortems",
    "rollbackhub.notifications",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "rollbackhub.dashboard.static_files.StaticFilesMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "rollbackhub.dashboard.middleware.TimeZoneMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "rollbackhub.dashboard.middleware.ErrorPageMiddleware",
]

ROOT_URLCONF = "rollbackhub.urls"
ASGI_APPLICATION = "rollbackhub.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "rollbackhub.dashboard.context.every_page",
            ],
        },
    },
]

# One PostgreSQL, two roles: `default` is what everything runs as, `owner` owns the tables and migrates.
DATABASES = {
    "default": database_from_url(CONFIG.database_url, pool=True),
    "owner": database_from_url(CONFIG.database_owner_url or CONFIG.database_url, pool=False),
}
DATABASES["default"]["TEST"] = {"MIRROR": "owner"}
DATABASE_ROUTERS: list[str] = []
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
ACCOUNT_ADAPTER = "rollbackhub.accounts.adapter.ClosedSignupAdapter"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email*", "password1*", "password2*"]
EMAIL_HOST, EMAIL_PORT = CONFIG.email_host, CONFIG.email_port
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD, EMAIL_USE_TLS = CONFIG.email_host_user, CONFIG.email_host_password, CONFIG.email_use_tls
EMAIL_TIMEOUT = 5
DEFAULT_FROM_EMAIL = CONFIG.email_from

ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
LOGIN_URL = "account_login"
CSRF_FAILURE_VIEW = "rollbackhub.dashboard.errors.csrf_failure"
LOGIN_REDIRECT_URL = "/"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

# Sign-in's rate limits count here, for all processes together; in PostgreSQL, so that people get in when Valkey is dead (docs/decisions/0008-sign-in.md).
CACHES = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "rollbackhub_cache", "OPTIONS": {"MAX_ENTRIES": 20_000}}}

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = CONFIG.var / "static"
_VENDORED = [
    ("vendor/tabler", BASE_DIR / "node_modules" / "@tabler" / "core" / "dist"),
    ("vendor/htmx", BASE_DIR / "node_modules" / "htmx.org" / "dist"),
    ("vendor/plotly", BASE_DIR / "node_modules" / "plotly.js-cartesian-dist-min"),
]
STATICFILES_DIRS = [("", BASE_DIR / "rollbackhub" / "dashboard" / "assets"), *((prefix, folder) for prefix, folder in _VENDORED if folder.exists())]
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PUBLIC_URL.startswith("https://")
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    # The admin (django-unfold uses Alpine.js, which evaluates expressions) has a looser policy of its own: accounts/admin_site.py.
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        # plotly.js adds an empty <style> element, which it fills by script: this is the hash of nothing.
        "style-src": [SELF, "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"],
        "img-src": [SELF, "data:", "blob:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    },
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rollbackhub.api.authentication.ApiTokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rollbackhub.api.permissions.NothingByDefault"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "rollbackhub.api.pagination.NewestFirstCursor",
    "DEFAULT_SCHEMA_CLASS": "rollbackhub.api.schema.CapabilitySchema",
    "DEFAULT_METADATA_CLASS": None,
    "EXCEPTION_HANDLER": "rollbackhub.api.errors.problem_details",
    "PAGE_SIZE": 50,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "RollbackHub",
    "DESCRIPTION": "Rollback of LLM releases: tested, fast, rehearsed and verified.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "rollbackhub.api.schema.add_problems"],
    "ENUM_NAME_OVERRIDES": {
        "VerdictEnum": "rollbackhub.common.verdict.Verdict",
        "ExecutionStateEnum": "rollbackhub.executions.enums.ExecutionState",
        "ExecutionKindEnum": "rollbackhub.executions.enums.ExecutionKind",
        "StepStateEnum": "rollbackhub.executions.enums.StepState",
        "SegmentEnum": "rollbackhub.executions.enums.Segment",
        "ChangeTypeEnum": "rollbackhub.registry.enums.ChangeType",
        "ScopeEnum": "rollbackhub.accounts.enums.Scope",
        "RoleEnum": "rollbackhub.accounts.enums.Role",
        "RollbackStateEnum": "rollbackhub.rollbacks.enums.RollbackState",
        "RollForwardStateEnum": "rollbackhub.rollbacks.enums.RollForwardState",
        "AuthorisedByEnum": "rollbackhub.rollbacks.enums.AuthorisedBy",
        "AuthoritySubjectEnum": "rollbackhub.rollbacks.enums.AuthoritySubject",
        "DecisionEnum": "rollbackhub.rollbacks.enums.Decision",
        "ViaEnum": "rollbackhub.rollbacks.enums.Via",
        "ReadinessStateEnum": "rollbackhub.readiness.enums.ReadinessState",
        "ReadinessReasonEnum": "rollbackhub.api.aliases.serializers.REASON_CODES",
        "PreflightStateEnum": "rollbackhub.readiness.enums.RunState",
        "ProofStateEnum": "rollbackhub.executions.enums.ProofState",
        "IncidentStateEnum": "incidents.enums.IncidentState",
        "SeverityEnum": "incidents.enums.Severity",
        "ReviewStateEnum": "rollbackhub.reviews.enums.ReviewState",
        "DeliveryStateEnum": "rollbackhub.notifications.enums.DeliveryState",
        "AttemptOutcomeEnum": "rollbackhub.notifications.enums.AttemptOutcome",
        "MessageTopicEnum": "rollbackhub.notifications.enums.Topic",
        "RuleTopicEnum": "rollbackhub.api.notification_rules.serializers.RULE_TOPICS",
        "DigestEnum": "rollbackhub.notifications.enums.Digest",
        "ReleaseStateEnum": "rollbackhub.releases.enums.ReleaseState",
        "FindingCodeEnum": "rollbackhub.executions.enums.FindingCode",
        "CadenceEnum": "drills.enums.Cadence",
        "PlannedStateEnum": "drills.enums.PlannedState",
        "ActionStateEnum": "rollbackhub.actions.enums.ActionState",
        "ClosedActionStateEnum": "rollbackhub.api.actions.serializers.CLOSED",
        "ActionOriginEnum": "rollbackhub.actions.enums.ActionOrigin",
        "AlertStateEnum": "rollbackhub.alerts.enums.AlertState",
        "AlertBecameEnum": "rollbackhub.alerts.enums.Became",
        "AlertProposalStateEnum": "rollbackhub.alerts.enums.ProposalState",
        "AlertHookKindEnum": "rollbackhub.alerts.enums.HookKind",
        "SuggestedActionEnum": "rollbackhub.alerts.enums.SuggestedAction",
        "ActionKindEnum": "rollbackhub.actions.enums.ActionKind",
        "PostmortemStateEnum": "rollbackhub.postmortems.enums.PostmortemState",
        "PostmortemVerdictEnum": "rollbackhub.postmortems.enums.ReviewVerdict",
        "PostmortemSectionEnum": "rollbackhub.postmortems.enums.SectionKey",
        "FactorAnswerEnum": "rollbackhub.postmortems.enums.FactorAnswerValue",
        "RollbackScopeEnum": "rollbackhub.api.rollbacks.serializers.SCOPES",
    },
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
}
KNOX_TOKEN_MODEL = "accounts.ApiToken"

CELERY_BROKER_URL = CONFIG.broker_url
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {
    "executions.advance": {"queue": "executions"},
    "executions.resume": {"queue": "executions.resume"},
}
# Each worker also takes from a queue of its own, on which it sends itself canary tasks (local/worker.py).
CELERY_WORKER_DIRECT = True
CELERY_BEAT_SCHEDULE = {"tidy": {"task": "local.tidy", "schedule": 3600.0, "options": {"expires": 3000}}}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_PUBLISH_RETRY = False
# Without these a publish to a black-holed broker blocks for over 45 s (measured); with them about 4 s.
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_timeout": 1, "socket_connect_timeout": 1, "retry_policy": {"timeout": 2.0}}

UNFOLD = {"SITE_TITLE": "RollbackHub settings", "SITE_HEADER": "RollbackHub settings", "SITE_URL": "/"}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"one_line": {"()": "rollbackhub.common.logs.OneLine"}, "no_feed_secrets": {"()": "rollbackhub.common.logs.HideFeedSecrets"}},
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["no_feed_secrets"]}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        "httpx": {"level": "WARNING"},
        "httpcore": {"level": "WARNING"},
        # A line for each step of each document.
        "choreographer": {"level": "WARNING"},
        "kaleido": {"level": "WARNING"},
        "weasyprint": {"level": "WARNING"},
        "weasyprint.progress": {"level": "WARNING"},
        "fontTools": {"level": "WARNING"},
        "django.request": {"level": "ERROR"},
        "django.security.DisallowedHost": {"filters": ["one_line"], "level": "WARNING"},
        # A line or two per task, canaries included; the engine says what matters about executions.
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.worker.request": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
    },
}
