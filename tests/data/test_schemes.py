"""The registry of data sources: whatever stands in it can be named, is told of, and opens."""

import pytest

from pixjax.cli import main
from pixjax.codec import CanvasCodec, Modality
from pixjax.data.schemes import SCHEMES
from pixjax.data.sources import SourceSpec, open_source, spec_of
from pixjax.data.uri import SourceUri
from pixjax.errors import InputError


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_scheme_leads_to_its_class_and_is_written_as_it_says(scheme):
    spec = spec_of(SourceUri.parse(f"{scheme}:place"))
    assert isinstance(spec, SourceSpec)
    assert SCHEMES[scheme].form.startswith(f"{scheme}:")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_place_that_is_not_there_is_an_input_error_that_names_it(scheme, tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        open_source(f"{scheme}:{tmp_path}/nowhere", canvas_size=8, codec=CanvasCodec(canvas_size=8), context_canvases=1)


def test_errors_and_help_list_the_registry(capsys):
    with pytest.raises(InputError) as error:
        SourceUri.parse("ftp:x")
    assert all(scheme.form in str(error.value) for scheme in SCHEMES.values())
    with pytest.raises(SystemExit):
        main(["prepare", "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert all(f"{scheme}:…" in printed for scheme in SCHEMES)


def test_a_source_of_neither_texts_nor_pictures_says_so():
    class Empty(SourceSpec):
        def contents(self):
            return Modality.TEXT

    spec = Empty(SourceUri("text", "x"))
    with pytest.raises(InputError, match="no documents of text"):
        spec.document_files()
    with pytest.raises(InputError, match="no pictures"):
        spec.pictures(8)
