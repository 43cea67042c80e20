"""The stage for the end-to-end tests: real programs on loopback addresses of their own.

A Lab belongs to one scene. It hands out addresses, starts programs, and when the scene ends stops
them and tells whether one of them crashed or a sanitizer spoke.
"""

from .address import Block, Ports, host_port
from .baresip import Baresip
from .bono import Bono, program
from .browser import Browser, PhonePages, WebPhone
from .certificates import Authority
from .crowd import Crowd
from .kamailio import KamailioEdge, KamailioScscf, KamailioSprout
from .knot import Knot, LyingServer
from .lab import Lab
from .linphone import Linphone
from .process import Process
from .scene import Scene, token_of
from .scripted import ScriptedSprout
from .sip import Client, Message, TcpClient, TlsClient, UdpClient, request, response
from .sipp import Sipp
from .sprout_sim import SproutSim
from .wait import until
from .web import BrokenWeb, Refused, WebClient

__all__ = [
    "Authority", "Baresip", "Block", "Bono", "BrokenWeb", "Browser", "Client", "Crowd", "KamailioEdge", "KamailioScscf",
    "KamailioSprout", "Knot", "Lab", "Linphone", "LyingServer", "Message", "PhonePages", "Ports", "Process",
    "Refused", "Scene", "ScriptedSprout", "Sipp", "SproutSim", "TcpClient", "TlsClient", "UdpClient", "WebClient",
    "WebPhone", "host_port", "program", "request", "response", "token_of", "until",
]
