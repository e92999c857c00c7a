"""The magics are there without `%load_ext`; a notebook that loads them anyway is told nothing."""

c = get_config()  # noqa: F821

c.InteractiveShellApp.extensions = ["cellar_jupyter"]
