"""JupyterLab inside a workspace: it asks nobody outside for anything, and the hub decides the rest."""

from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager
from traitlets import default


class OwnKernels(KernelSpecManager):
    """The hub has the server read no configuration of the user's; kernels that they made for themselves are none
    (`python -m ipykernel install --user`), so their place is looked at all the same. The image's own come first."""

    @default("kernel_dirs")
    def _kernel_dirs_default(self):
        return [*super()._kernel_dirs_default(), str(Path.home() / ".local/share/jupyter/kernels")]


c = get_config()  # noqa: F821

c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.LabApp.extension_manager = "readonly"
# overrides.json says what they are; what a user sets is not taken
c.Cellar.locked_settings = [
    "@jupyterlab/apputils-extension:notification",
    "@jupyterlab/apputils-extension:sanitizer",
]
c.FileContentsManager.delete_to_trash = False  # the trash would be on the same volume, and nobody would empty it
c.ServerApp.open_browser = False
c.ServerApp.kernel_spec_manager_class = OwnKernels
