"""JupyterLab inside a workspace: it asks nobody outside for anything, and the hub decides the rest."""

c = get_config()  # noqa: F821

c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.extension_manager = "readonly"
c.FileContentsManager.delete_to_trash = False  # the trash would be on the same volume, and nobody would empty it
c.ServerApp.open_browser = False
