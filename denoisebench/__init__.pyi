"""What ``import denoisebench as db`` offers; each name is imported when it is first used, from where it stands here."""

from .api import Results as Results
from .api import TrainedNetwork as TrainedNetwork
from .api import add_noise as add_noise
from .api import denoise as denoise
from .api import list_datasets as list_datasets
from .api import list_methods as list_methods
from .api import load_network as load_network
from .api import load_results as load_results
from .api import psnr as psnr
from .api import run as run
from .api import ssim as ssim
from .core.errors import UserError as UserError
from .plugins.method import Batch as Batch
from .plugins.method import Info as Info
from .plugins.method import LearnedMethod as LearnedMethod
from .plugins.method import Need as Need
from .plugins.method import NoiseInfo as NoiseInfo
from .plugins.method import PerImageMethod as PerImageMethod
from .plugins.method import PlainMethod as PlainMethod

__version__: str
