"""The gateway's figures, for templates."""

from django import template

from gateway import figures

register = template.Library()
register.filter("usd", figures.usd)
register.filter("count", figures.count)
register.filter("some", figures.some)
register.filter("seconds", figures.seconds)
register.filter("length", figures.length)
