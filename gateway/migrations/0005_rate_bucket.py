from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("gateway", "0004_voice_leaves")]

    operations = [migrations.RenameModel("KeyAllowance", "RateBucket")]
