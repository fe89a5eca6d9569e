def every_page(request): return {}
