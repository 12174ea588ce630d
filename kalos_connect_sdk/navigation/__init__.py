"""Who finds a way: providers that describe one request and read its answer. None of them opens a connection (R2).

Connect("com.example.headunit", navigation=Valhalla("http://127.0.0.1:8002"))
"""

from .amap import AMap
from .osrm import Osrm
from .valhalla import Valhalla

__all__ = ["AMap", "Osrm", "Valhalla"]
