"""Creates, changes and deletes datasets, samples and imports. What is refused raises an EarshotError."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, TypedDict
from uuid import uuid4

from django.core.files import File
from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction
from django.db.models import F, ProtectedError, Q

from accounts.models import User, Workspace
from core.queue import enqueue, waiting
from core.temporary import remove_left_over
from datasets.cleaning import clean_key, clean_language, clean_tags, clean_text, key_from_filename, with_number
from datasets.errors import InUse, InvalidSample, KeyTaken, NameTaken
from datasets.importing.commit import fail_import
from datasets.importing.leases import claim_import
from datasets.importing.runner import remove_source
from datasets.importing.sources import check_upload
from datasets.intake import ingest, save_audio_rows, spool_folder
from datasets.models import Audio, Dataset, Import, ReferenceRevision, Sample, Task

KEY_TRIES = 20  # to find a free key, where others upload files of the same name at the same moment


def create_dataset(
    *,
    workspace: Workspace,
    name: str,
    task: str = Task.STT,
    language: str = "en",
    description: str = "",
    created_by: User | None = None,
) -> Dataset:
    """Create a dataset. Raises NameTaken, InvalidSample (name or language)."""
    dataset = Dataset(workspace=workspace, task=task, description=clean_text(description, "description"))
    dataset.name, dataset.language, dataset.created_by = _clean_name(name), clean_language(language), created_by
    with _refuse_taken_name(dataset.name):
        dataset.save()
    return dataset


def update_dataset(
    *, dataset: Dataset, name: str | None = None, language: str | None = None, description: str | None = None
) -> Dataset:
    """Change what is given. Raises NameTaken, InvalidSample."""
    if name is not None:
        dataset.name = _clean_name(name)
    if language is not None:
        dataset.language = clean_language(language)
    if description is not None:
        dataset.description = clean_text(description, "description")
    with _refuse_taken_name(dataset.name):
        dataset.save(update_fields=["name", "language", "description"])
    return dataset


@transaction.atomic
def delete_dataset(*, dataset: Dataset) -> None:
    """Delete a dataset with its samples. Raises InUse where a run or an unfinished import uses it."""
    if dataset.imports.unfinished().exists():
        raise InUse("An import into this dataset is running. Delete the dataset when it has ended.")
    try:
        dataset.delete()
    except ProtectedError as error:
        raise InUse("Runs use this dataset. Delete the runs first; their results would lose their samples.") from error


@transaction.atomic
def delete_if_empty(*, dataset: Dataset) -> bool:
    """Delete a dataset that has no samples and no unfinished import, with the reports of its imports.

    Returns False where it has some.
    """
    Dataset.objects.select_for_update().get(pk=dataset.pk)  # a lock: no sample can be added meanwhile
    if dataset.samples.exists() or dataset.imports.unfinished().exists():
        return False
    delete_dataset(dataset=dataset)
    return True


def add_audio_sample(
    *,
    dataset: Dataset,
    file: BinaryIO,
    filename: str,
    key: str | None = None,
    reference: str | None = None,
    language: str = "",
    tags: Mapping[str, Any] | None = None,
) -> Sample:
    """Store audio and add it as a new sample. Raises InvalidAudio, KeyTaken, InvalidSample.

    The default `key` is the file's name, with a number added where that is taken.
    """
    if dataset.task != Task.STT:
        raise InvalidSample("The dataset is for text to speech: its samples are texts, not audio.")
    fields = _clean_fields(reference, language, tags)
    stored = ingest(dataset.workspace_id, file)
    audio = save_audio_rows(dataset.workspace, [stored])[stored.sha256]
    return _add_sample(dataset, key, key_from_filename(filename), fields, audio=audio)


def add_text_sample(
    *,
    dataset: Dataset,
    text: str,
    key: str | None = None,
    reference: str | None = None,
    language: str = "",
    tags: Mapping[str, Any] | None = None,
) -> Sample:
    """Add a text to be spoken as a new sample. Raises KeyTaken, InvalidSample.

    The default `key` is the first 80 characters of the text.
    """
    if dataset.task != Task.TTS:
        raise InvalidSample("The dataset is for speech to text: its samples are audio.")
    if not text.strip():
        raise InvalidSample("There is no text to be spoken.")
    fields = _clean_fields(reference, language, tags)
    return _add_sample(dataset, key, clean_key(text[:80]) or "text", fields, text=clean_text(text, "text"))


@transaction.atomic
def edit_reference(*, sample: Sample, reference: str | None, edited_by: User | None = None) -> Sample:
    """Change the sample's reference and keep the old one as a revision; an equal one changes nothing."""
    if reference is not None:
        clean_text(reference, "reference")
    current = Sample.objects.select_for_update().get(pk=sample.pk)
    if current.reference != reference:
        ReferenceRevision.objects.create(
            sample=current,
            number=current.reference_revision,
            reference=current.reference,
            replaced_by=edited_by,
        )
        Sample.objects.filter(pk=sample.pk).update(reference=reference, reference_revision=F("reference_revision") + 1)
    sample.refresh_from_db(fields=["reference", "reference_revision"])
    return sample


def update_sample(*, sample: Sample, language: str | None = None, tags: Mapping[str, Any] | None = None) -> Sample:
    """Change what is given. Raises InvalidSample."""
    if language is not None:
        sample.language = clean_language(language)
    if tags is not None:
        sample.tags = clean_tags(tags)
    sample.save(update_fields=["language", "tags"])
    return sample


@transaction.atomic
def delete_sample(*, sample: Sample) -> None:
    """Delete a sample. Raises InUse where a run has results of it."""
    try:
        sample.delete()
    except ProtectedError as error:
        raise InUse("Runs have results of this sample. Delete the runs first.") from error


def start_import(
    *, dataset: Dataset, file: BinaryIO, filename: str, skip_bad: bool = False, created_by: User | None = None
) -> Import:
    """Store an upload (zip, csv or jsonl) and queue its import. Raises InvalidImport where it is neither."""
    check_upload(file)
    source = default_storage.save(f"imports/{uuid4()}", file if isinstance(file, File) else File(file))
    try:
        with transaction.atomic():
            new_import = Import.objects.create(
                dataset=dataset,
                source=source,
                source_name=clean_key(filename),
                skip_bad=skip_bad,
                created_by=created_by,
            )
            enqueue("datasets.tasks.run_import", new_import.pk)
    except BaseException:
        default_storage.delete(source)
        raise
    return new_import


def resume_stale_imports() -> int:
    """Queue unfinished imports that no worker holds; delete files that dead workers left. Returns the imports."""
    resumed = 0
    lost = Import.objects.stale()
    if waiting():  # imports without a lease may still have their row on the queue
        lost = lost.filter(lease_until__isnull=False)
    for parent in lost:
        if parent.source:
            enqueue("datasets.tasks.run_import", parent.pk)
            resumed += 1
        elif lease := claim_import(parent.pk):
            fail_import(lease, "The command that ran this import was stopped. Run it again.")
    for parent in Import.objects.ended().exclude(source=""):
        remove_source(parent)
    remove_left_over(spool_folder())
    return resumed


class _SampleFields(TypedDict):
    reference: str | None
    language: str
    tags: dict[str, str]


def _clean_fields(reference: str | None, language: str, tags: Mapping[str, Any] | None) -> _SampleFields:
    """Clean the fields of a sample besides key, audio and text. Raises InvalidSample."""
    return _SampleFields(
        reference=None if reference is None else clean_text(reference, "reference"),
        language=clean_language(language),
        tags=clean_tags(tags),
    )


def _add_sample(
    dataset: Dataset,
    key: str | None,
    fallback: str,
    fields: _SampleFields,
    *,
    audio: Audio | None = None,
    text: str = "",
) -> Sample:
    key = clean_key(key or "")
    for _ in range(KEY_TRIES):
        try:
            with transaction.atomic():
                return Sample.objects.create(
                    dataset=dataset,
                    key=key or _free_key(dataset, fallback),
                    audio=audio,
                    text=text,
                    is_duplicate=audio is not None and _has_audio(dataset, audio),
                    **fields,
                )
        except IntegrityError:
            if key:
                break
    raise KeyTaken(f"The key {(key or fallback)!r} is already in this dataset. Choose another.")


def _has_audio(dataset: Dataset, audio: Audio) -> bool:
    """Return whether the dataset has a sample with this audio. Locks the audio: whoever adds the same one waits."""
    Audio.objects.select_for_update().get(pk=audio.pk)
    return dataset.samples.filter(audio=audio).exists()


def _free_key(dataset: Dataset, key: str) -> str:
    """Return `key`, with the lowest free number added where it is taken."""
    like = Q(key=key) | Q(key__startswith=with_number(key, 2)[:-2])
    taken = set(dataset.samples.filter(like).values_list("key", flat=True))
    number = 2
    free = key
    while free in taken:
        free, number = with_number(key, number), number + 1
    return free


def _clean_name(name: str) -> str:
    cleaned = clean_key(name)
    if not cleaned or len(cleaned) > 200:
        raise InvalidSample("A dataset's name has 1 to 200 characters.")
    return cleaned


@contextmanager
def _refuse_taken_name(name: str) -> Iterator[None]:
    """Raise NameTaken where the block violates the unique constraint on names."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        raise NameTaken(f"There is already a dataset {name!r} in this workspace. Choose another name.") from error
