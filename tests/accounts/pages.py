"""What a person sees on a page."""


def form_of(response):
    """{name: initial value} of the form that the page shows."""
    form = response.context["adminform"].form
    return {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
