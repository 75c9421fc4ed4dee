"""The tables are there already: the gateway's migration 0004 renames them."""

import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('accounts', '0002_requests_per_minute'),
        ('gateway', '0004_voice_leaves'),
        ('providers', '0002_abilities'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name='RealtimeSession',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('caller', models.CharField(help_text="The key's or the person's name at the time.", max_length=200)),
                        ('dialect', models.CharField(choices=[('ga', 'GA'), ('beta', 'Beta')], max_length=10)),
                        ('kind', models.CharField(choices=[('realtime', 'Conversation'), ('transcription', 'Transcription')], max_length=20)),
                        ('stt_model', models.CharField(help_text="At the session's beginning; turns have theirs.", max_length=200, verbose_name='speech to text')),
                        ('chat_model', models.CharField(blank=True, max_length=200, verbose_name='chat')),
                        ('tts_model', models.CharField(blank=True, max_length=200, verbose_name='text to speech')),
                        ('errors', models.PositiveIntegerField(default=0, help_text='Error events that the client was sent.')),
                        ('end', models.CharField(blank=True, choices=[('client', 'Closed by the client'), ('dropped', 'Connection lost'), ('idle', 'Nothing happened for too long'), ('expired', 'Longest duration reached'), ('restart', 'The server was restarted'), ('slow', 'The client read too slowly'), ('protocol', 'The client broke the protocol'), ('fault', 'A fault of ours'), ('lost', "The server's process died")], max_length=20)),
                        ('started_at', models.DateTimeField()),
                        ('seen_at', models.DateTimeField(help_text='Renewed while it is open; afterwards the process is gone.')),
                        ('ended_at', models.DateTimeField(blank=True, null=True)),
                        ('api_key', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='accounts.apikey')),
                        ('user', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                        ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.workspace')),
                    ],
                    options={
                        'ordering': ['-id'],
                    },
                ),
                migrations.CreateModel(
                    name='RealtimeTurn',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('status', models.CharField(choices=[('completed', 'Completed'), ('cancelled', 'Cancelled'), ('incomplete', 'Cut off'), ('failed', 'Failed')], max_length=20)),
                        ('reason', models.CharField(blank=True, help_text='Code of why it failed.', max_length=40)),
                        ('stt_model', models.CharField(blank=True, max_length=200, verbose_name='speech to text')),
                        ('chat_model', models.CharField(blank=True, max_length=200, verbose_name='chat')),
                        ('tts_model', models.CharField(blank=True, max_length=200, verbose_name='text to speech')),
                        ('heard_seconds', models.FloatField(blank=True, help_text='Audio that was said.', null=True, verbose_name='heard')),
                        ('spoken_seconds', models.FloatField(blank=True, help_text='Audio of the answer.', null=True, verbose_name='spoken')),
                        ('transcribed_after', models.FloatField(blank=True, help_text='From the end of speech to its text.', null=True)),
                        ('first_text_after', models.FloatField(blank=True, help_text='From asking the chat model to its first word.', null=True)),
                        ('first_sound_after', models.FloatField(blank=True, help_text='From asking the voice to its first sound.', null=True)),
                        ('delay', models.FloatField(blank=True, help_text='From the end of speech, as the client committed it or the silence behind it was heard, to the first audio of the answer.', null=True)),
                        ('duration', models.FloatField(help_text="From the end of speech, or the request for a response, to the turn's end.")),
                        ('started_at', models.DateTimeField()),
                        ('session', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='turns', to='voice.realtimesession')),
                    ],
                    options={
                        'ordering': ['id'],
                    },
                ),
                migrations.CreateModel(
                    name='VoicePipeline',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('name', models.CharField(help_text='What clients ask for: /v1/realtime?model=name.', max_length=100, validators=[django.core.validators.RegexValidator('^[\\w.:-]+\\Z', 'Use letters, digits and . _ : - only.')])),
                        ('voice', models.CharField(blank=True, help_text="Empty: the model's own.", max_length=100)),
                        ('instructions', models.TextField(blank=True, help_text='What the chat model is told first, where the client says nothing else.')),
                        ('is_default', models.BooleanField(default=False, help_text='For clients that ask for none.', verbose_name='default')),
                        ('chat_model', models.ForeignKey(limit_choices_to={'chat': True}, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='providers.speechmodel', verbose_name='chat')),
                        ('stt_model', models.ForeignKey(limit_choices_to={'speech_to_text': True}, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='providers.speechmodel', verbose_name='speech to text')),
                        ('tts_model', models.ForeignKey(limit_choices_to={'text_to_speech': True}, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='providers.speechmodel', verbose_name='text to speech')),
                        ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='voice_pipelines', to='accounts.workspace')),
                    ],
                    options={
                        'ordering': ['name'],
                    },
                ),
                migrations.CreateModel(
                    name='ClientSecret',
                    fields=[
                        ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                        ('secret_hash', models.CharField(max_length=64, unique=True)),
                        ('session', models.JSONField(default=dict, help_text='What sessions begin with, as the client gave it.')),
                        ('created_at', models.DateTimeField(auto_now_add=True)),
                        ('expires_at', models.DateTimeField(db_index=True)),
                        ('api_key', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.apikey')),
                        ('user', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
                        ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.workspace')),
                    ],
                    options={
                        'constraints': [models.CheckConstraint(condition=models.Q(('api_key__isnull', False), ('user__isnull', False), _connector='OR'), name='client_secret_has_a_maker')],
                    },
                ),
                migrations.AddIndex(
                    model_name='realtimesession',
                    index=models.Index(fields=['workspace', '-id'], name='sessions_of_workspace'),
                ),
                migrations.AddIndex(
                    model_name='realtimesession',
                    index=models.Index(condition=models.Q(('ended_at', None)), fields=['workspace'], name='sessions_under_way'),
                ),
                migrations.AddConstraint(
                    model_name='realtimesession',
                    constraint=models.CheckConstraint(condition=models.Q(models.Q(('end', ''), ('ended_at', None)), models.Q(('ended_at__isnull', False), models.Q(('end', ''), _negated=True)), _connector='OR'), name='session_that_ended_says_how'),
                ),
                migrations.AddConstraint(
                    model_name='voicepipeline',
                    constraint=models.UniqueConstraint(fields=('workspace', 'name'), name='pipeline_name_unique_in_workspace', violation_error_message='There is a pipeline of this name already.'),
                ),
                migrations.AddConstraint(
                    model_name='voicepipeline',
                    constraint=models.UniqueConstraint(condition=models.Q(('is_default', True)), fields=('workspace',), name='one_default_pipeline_a_workspace'),
                ),
            ],
        ),
    ]
