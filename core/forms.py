"""Django's model form, generic in its model."""

from typing import TYPE_CHECKING, Any

from django import forms

if TYPE_CHECKING:
    from django.forms import ModelForm as ModelForm
else:

    class ModelForm(forms.ModelForm):
        """Django's own cannot be written as `ModelForm[Model]`: only its type stub is generic."""

        def __class_getitem__(cls, _model: Any) -> Any:
            return cls
