"""What MPEG-4 says of its colours, in the visual object header (ISO/IEC 14496-2, 6.2.2).

FFmpeg's decoder reads it, and so players know; FFmpeg's encoder leaves it out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from av.packet import Packet

if TYPE_CHECKING:
    from av.stream import Stream

    from vidfleet.speakers.media.planes import Colours

_HEADER = b"\x00\x00\x01\xb5"
_WITHOUT = 0x13
"""The header's second byte: type video (0001), no video_signal_type (0), stuffing (011)."""
_UNSPECIFIED, _BT709, _BT601 = 2, 1, 6


def told(packet: Packet[Stream], colours: Colours) -> Packet[Stream]:
    """The packet of a picture; where it is a key frame, it says what its colours mean."""
    if not packet.is_keyframe:
        return packet
    data = bytes(packet)
    at = data.find(_HEADER) + len(_HEADER) + 1
    if at <= len(_HEADER) or data[at] != _WITHOUT:  # of another encoder: it is left as it is
        return packet
    matrix = _BT709 if colours.is_709 else _BT601
    # type, video_signal_type, format unspecified, limited range, colour_description, primaries, transfer, matrix
    bits = f"0001 1 101 0 1 {_UNSPECIFIED:08b} {_UNSPECIFIED:08b} {matrix:08b} 011111".replace(" ", "")
    tagged: Packet[Stream] = Packet(data[:at] + int(bits, 2).to_bytes(len(bits) // 8, "big") + data[at + 1 :])
    tagged.stream = packet.stream
    tagged.pts, tagged.dts, tagged.duration = packet.pts, packet.dts, packet.duration
    tagged.time_base, tagged.is_keyframe = packet.time_base, True
    return tagged
