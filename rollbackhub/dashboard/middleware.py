from django.utils.deprecation import MiddlewareMixin
class ErrorPageMiddleware(MiddlewareMixin): pass
