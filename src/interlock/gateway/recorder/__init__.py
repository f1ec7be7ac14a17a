"""The batch writer behind the gateway: records go in without waiting, batches come out.

Owns the queue, the writer thread and the spool; refuses to decide what is recorded.
"""

from interlock.gateway.recorder.service import BatchRecorder, RecorderSettings, RecorderStats

__all__ = ["BatchRecorder", "RecorderSettings", "RecorderStats"]
