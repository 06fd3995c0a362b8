"""DashScope (Alibaba Model Studio), asynchronous text-to-image tasks, as one provider."""

from receiver.simulator.dashscope.provider import DashScope

__all__ = ["DashScope"]
