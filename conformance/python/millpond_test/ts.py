"""A strict MPEG transport stream reader: what D14 promises, checked packet by packet over all segments of a push.

`check(segments)` returns a `Report`: what was found, and a list of violations that a test compares with the empty list.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence, Tuple

PACKET = 188
PCR_LIMIT_90K = 9_000  # ISO 13818-1 2.7.2: at most 100 ms
H264, AAC = 0x1B, 0x0F
AUD, SPS, PPS, SEI, IDR, SLICE, FILLER = 9, 7, 8, 6, 5, 1, 12
ADTS_RATES = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350]


@dataclass
class Unit:
    """One PES packet: an access unit of video, or a run of audio frames."""

    pid: int
    segment: int
    pts: int
    dts: int
    data: bytes


@dataclass
class Report:
    violations: List[str] = field(default_factory=list)
    video: List[Unit] = field(default_factory=list)
    audio: List[Unit] = field(default_factory=list)
    audio_frames: int = 0
    sample_rate: int = 0
    key_frame_at_start: List[bool] = field(default_factory=list)
    largest_pcr_gap_90k: int = 0

    @property
    def video_frames(self) -> int:
        return len(self.video)


def crc32_mpeg(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = ((crc << 1) ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return crc


def nal_units(data: bytes) -> List[bytes]:
    """The NAL units of an Annex B byte stream, without start codes and trailing zeros."""
    starts: List[Tuple[int, int]] = []
    position = 0
    while True:
        position = data.find(b"\x00\x00\x01", position)
        if position < 0:
            break
        starts.append((position, position + 3))
        position += 3
    units = []
    for index, (_, begin) in enumerate(starts):
        end = starts[index + 1][0] if index + 1 < len(starts) else len(data)
        units.append(data[begin:end].rstrip(b"\x00"))
    return units


def check(segments: Sequence[bytes], discontinuities: Sequence[bool] = ()) -> Report:
    """Reads the segments in playlist order; `discontinuities[i]` says whether EXT-X-DISCONTINUITY precedes segment i."""
    reader = _Reader(list(discontinuities) + [False] * (len(segments) - len(discontinuities)))
    for index, segment in enumerate(segments):
        reader.segment(index, segment)
    reader.finish()
    return reader.report


class _Reader:
    def __init__(self, discontinuities: List[bool]):
        self.report = Report()
        self.discontinuities = discontinuities
        self.continuity: Dict[int, int] = {}
        self.pmt_pid: Optional[int] = None
        self.pcr_pid: Optional[int] = None
        self.streams: Dict[int, int] = {}
        self.open: Dict[int, bytearray] = {}
        self.last_pcr: Optional[int] = None
        # The clock when the last packet of the open unit came: the next picture may be seconds away.
        self.arrived: Dict[int, Optional[int]] = {}
        self.last_dts: Dict[int, int] = {}
        self.audio_clock: Optional[Tuple[int, int]] = None
        self.index = 0

    def bad(self, text: str) -> None:
        if len(self.report.violations) < 50:
            self.report.violations.append(f"segment {self.index}: {text}")

    def segment(self, index: int, data: bytes) -> None:
        self.index = index
        if not data or len(data) % PACKET:
            self.bad(f"{len(data)} bytes are not whole packets")
        if self.discontinuities[index]:
            # Another push, or another clock: only what lies between two discontinuities is one stream.
            self.continuity.clear()
            self.last_pcr = None
            self.last_dts.clear()
            self.audio_clock = None
        before = len(self.report.video)
        for number in range(len(data) // PACKET):
            self.packet(number, data[number * PACKET : (number + 1) * PACKET])
        # A segment holds whole access units: none may continue in the next.
        self.flush()
        video = self.report.video[before:]
        types = [unit[0] & 31 for unit in nal_units(video[0].data) if unit] if video else []
        self.report.key_frame_at_start.append(IDR in types)

    def packet(self, number: int, packet: bytes) -> None:
        if packet[0] != 0x47:
            self.bad(f"packet {number}: no sync byte")
            return
        if packet[1] & 0x80 or packet[3] & 0xC0:
            self.bad(f"packet {number}: error or scrambling bits")
        pid = (packet[1] & 0x1F) << 8 | packet[2]
        starts = bool(packet[1] & 0x40)
        control = packet[3] >> 4 & 3
        counter = packet[3] & 15
        if number == 0 and pid != 0:
            self.bad("the first packet is not the PAT")
        if number == 1 and pid != self.pmt_pid:
            self.bad("the second packet is not the PMT")
        if pid == 0x1FFF:
            return
        payload_at = 4
        if control & 2:
            length = packet[4]
            payload_at = 5 + length
            if length > 183 or (control == 3 and length > 182):
                self.bad(f"packet {number}: adaptation field of {length} bytes")
                return
            if length and packet[5] & 0x10:
                self.pcr(number, pid, packet)
        last = self.continuity.get(pid)
        if control & 1:
            if last is not None and counter != (last + 1) & 15:
                self.bad(f"packet {number}: PID {pid} continuity {last} to {counter}")
            self.continuity[pid] = counter
        elif last is not None and counter != last:
            self.bad(f"packet {number}: PID {pid} counts without payload")
        if not control & 1:
            return
        payload = packet[payload_at:]
        if pid == 0:
            self.pat(payload)
        elif pid == self.pmt_pid:
            self.pmt(payload)
        elif pid in self.streams:
            if starts:
                self.unit(pid)
                self.open[pid] = bytearray(payload)
                self.arrived[pid] = self.last_pcr
            elif pid in self.open:
                self.open[pid] += payload
                self.arrived[pid] = self.last_pcr
            else:
                self.bad(f"packet {number}: PID {pid} continues a unit that did not start")
        else:
            self.bad(f"packet {number}: PID {pid} is in no PMT")

    def pcr(self, number: int, pid: int, packet: bytes) -> None:
        if pid != self.pcr_pid:
            self.bad(f"packet {number}: PCR on PID {pid}")
            return
        base = int.from_bytes(packet[6:11], "big") >> 7
        if self.last_pcr is not None:
            gap = base - self.last_pcr
            self.report.largest_pcr_gap_90k = max(self.report.largest_pcr_gap_90k, gap)
            if gap < 0:
                self.bad(f"packet {number}: PCR runs back by {-gap / 90:.1f} ms")
            elif gap > PCR_LIMIT_90K:
                self.bad(f"packet {number}: {gap / 90:.1f} ms between two PCRs")
        self.last_pcr = base

    def section(self, payload: bytes, table: int) -> Optional[bytes]:
        begin = 1 + payload[0]
        section = payload[begin:]
        if len(section) < 12 or section[0] != table:
            self.bad(f"no table {table} in its packet")
            return None
        length = 3 + ((section[1] & 0x0F) << 8 | section[2])
        if length > len(section) or crc32_mpeg(section[:length]) != 0:
            self.bad(f"table {table} has a wrong length or CRC")
            return None
        return section[:length]

    def pat(self, payload: bytes) -> None:
        section = self.section(payload, 0)
        if section is not None:
            programs = section[8:-4]
            if len(programs) != 4:
                self.bad("the PAT does not name exactly one program")
            self.pmt_pid = (programs[2] & 0x1F) << 8 | programs[3]

    def pmt(self, payload: bytes) -> None:
        section = self.section(payload, 2)
        if section is None:
            return
        self.pcr_pid = (section[8] & 0x1F) << 8 | section[9]
        position = 12 + ((section[10] & 0x0F) << 8 | section[11])
        streams = {}
        while position + 5 <= len(section) - 4:
            pid = (section[position + 1] & 0x1F) << 8 | section[position + 2]
            streams[pid] = section[position]
            position += 5 + ((section[position + 3] & 0x0F) << 8 | section[position + 4])
        if streams != self.streams and self.streams and not self.discontinuities[self.index]:
            self.bad(f"the tracks changed without a discontinuity: {self.streams} to {streams}")
        if self.pcr_pid not in streams:
            self.bad("the PCR PID is no track")
        self.streams = streams

    def flush(self) -> None:
        for pid in list(self.open):
            self.unit(pid)

    def finish(self) -> None:
        self.flush()

    def unit(self, pid: int) -> None:
        pes = bytes(self.open.pop(pid, b""))
        if not pes:
            return
        if pes[:3] != b"\x00\x00\x01" or len(pes) < 14:
            self.bad(f"PID {pid}: no PES start code")
            return
        declared = pes[4] << 8 | pes[5]
        if declared and declared != len(pes) - 6:
            self.bad(f"PID {pid}: PES of {len(pes) - 6} bytes declares {declared}")
        if not pes[7] & 0x80:
            self.bad(f"PID {pid}: PES without PTS")
            return
        pts = _timestamp(pes[9:14])
        dts = _timestamp(pes[14:19]) if pes[7] & 0x40 else pts
        unit = Unit(pid, self.index, pts, dts, pes[9 + pes[8] :])
        if pts < dts:
            self.bad(f"PID {pid}: PTS {pts} before DTS {dts}")
        last = self.last_dts.get(pid)
        if last is not None and dts <= last:
            self.bad(f"PID {pid}: DTS {last} then {dts}")
        self.last_dts[pid] = dts
        if self.streams[pid] == H264:
            self.report.video.append(unit)
            self.video(unit)
        elif self.streams[pid] == AAC:
            self.report.audio.append(unit)
            self.audio(unit)
        else:
            self.bad(f"PID {pid}: stream type {self.streams[pid]}")

    def video(self, unit: Unit) -> None:
        arrived = self.arrived.get(unit.pid)
        if arrived is not None and unit.dts < arrived:
            self.bad(f"a picture is due {(arrived - unit.dts) / 90:.1f} ms before the PCR")
        types = [nal[0] & 31 for nal in nal_units(unit.data) if nal]
        name = f"picture at DTS {unit.dts}"
        if not types or types[0] != AUD or types.count(AUD) != 1:
            self.bad(f"{name}: not exactly one AUD, first: {types[:8]}")
        if FILLER in types:
            self.bad(f"{name}: filler")
        slices = [position for position, kind in enumerate(types) if kind in (SLICE, IDR, 2)]
        if not slices:
            self.bad(f"{name}: no slice: {types[:8]}")
            return
        head = types[: slices[0]]
        if IDR in types:
            if SPS not in head or PPS not in head:
                self.bad(f"{name}: key frame without parameter sets before it: {types[:8]}")
                return
            last_sps = max(position for position, kind in enumerate(head) if kind == SPS)
            first_pps = head.index(PPS)
            if first_pps < last_sps:
                self.bad(f"{name}: PPS before SPS: {types[:8]}")
        if SEI in head and (SPS in head or PPS in head):
            last_set = max(position for position, kind in enumerate(head) if kind in (SPS, PPS))
            if head.index(SEI) < last_set:
                self.bad(f"{name}: SEI before the parameter sets: {types[:8]}")
        if any(kind in (AUD, SPS, PPS, SEI) for kind in types[slices[0] :]):
            self.bad(f"{name}: headers behind a slice: {types}")

    def audio(self, unit: Unit) -> None:
        position = 0
        data = unit.data
        first = True
        while position < len(data):
            head = data[position : position + 7]
            if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
                self.bad(f"audio at PTS {unit.pts}: no ADTS header at byte {position}")
                return
            length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
            if length < 8 or position + length > len(data):
                self.bad(f"audio at PTS {unit.pts}: ADTS frame of {length} bytes, {len(data) - position} left")
                return
            rate = ADTS_RATES[head[2] >> 2 & 15]
            self.report.sample_rate = rate
            if self.audio_clock is None:
                self.audio_clock = (unit.pts, 0)
            origin, count = self.audio_clock
            expected = origin + count * 1024 * 90_000 / rate
            # Two ticks: the origin itself was rounded once and each time stamp once.
            if first and abs(unit.pts - expected) > 2:
                self.bad(f"audio frame {self.report.audio_frames}: PTS {unit.pts}, by its samples {expected:.1f}")
                self.audio_clock = (unit.pts, 0)
                count = 0
            self.audio_clock = (self.audio_clock[0], count + 1)
            self.report.audio_frames += 1
            first = False
            position += length


def _timestamp(field_bytes: bytes) -> int:
    return (
        (field_bytes[0] >> 1 & 7) << 30
        | field_bytes[1] << 22
        | (field_bytes[2] >> 1) << 15
        | field_bytes[3] << 7
        | field_bytes[4] >> 1
    )
