#!/bin/sh
# Makes crates/server/assets/sample.flv, the picture and sound that the demo publishes for ever.
#
# The file is one period of an endless picture: whoever plays it again with DURATION_MS added to every timestamp gets
# one unbroken stream. That needs three things, and this script is here to guarantee them:
#
#  * Picture and sound repeat after PERIOD seconds: every motion (wheel, ripples, clock) and every note has a period
#    that divides it.
#  * PERIOD is a whole number of AAC frames and of GOPs: 24 s are 1125 frames of 1024 samples at 48 kHz, 600 pictures
#    at 25/s and 12 GOPs of 2 s. So neither track drifts against the other.
#  * AAC frames overlap their neighbours. Therefore three periods are encoded and only the middle one is kept: its first
#    frame was encoded as the successor of its last.
#
# Needs ffmpeg with libx264, python3 and the font DejaVu Sans (Debian: ffmpeg, python3, fonts-dejavu-core). The same
# versions of these give the same bytes: one encoder thread, no random numbers, no dates.
#
# Usage: scripts/make-sample.sh [OUTPUT]     It takes about three minutes.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
output=${1:-$root/crates/server/assets/sample.flv}
font=${FONT:-/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf}
font_bold=${FONT_BOLD:-/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

period=24
fps=25
frames=$((period * fps))
ff="ffmpeg -hide_banner -loglevel error -nostdin -y"

# The scene, once. A sky of three colours, a low sun, two ranges of hills and the mill. SHORE is the line of the water;
# what lies below it is replaced by a reflection later. Each term of the form clip(distance, 0, 1) draws an edge that is
# one pixel soft.
shore=236
sky='st(0,clip(Y/'$shore',0,1));
     st(1,exp(-(pow(X-505,2)+pow((Y-206)*1.15,2))/9000));
     st(2,clip(23.5-hypot(X-505,Y-206),0,1));
     st(3,clip(Y-(205-13*sin(X/83+0.6)-7*sin(X/37)),0,1));
     st(4,clip(Y-(222-9*sin(X/61+2.2)-4*sin(X/23+1)),0,1));
     st(5,clip(X+0.5,0,1)*clip(104-X,0,1)*clip(Y-132,0,1));
     st(6,clip(Y-(74+0.95*abs(X-52)),0,1)*clip(133-Y,0,1));
     st(7,clip(X-40,0,1)*clip(64-X,0,1)*clip(Y-156,0,1)*clip(186-Y,0,1)*(1-clip(1.5-abs(X-52),0,1))*(1-clip(1.5-abs(Y-171),0,1)))'
# paint BASE_TOP BASE_BOTTOM GLOW SUN FAR_HILL NEAR_HILL WALL ROOF WINDOW: one channel of the scene.
paint() {
    printf "%s; st(8,lerp(%s,%s,pow(ld(0),1.5))+%s*ld(1)); st(8,lerp(ld(8),%s,ld(2))); st(8,lerp(ld(8),%s+%s*0.35*ld(1),ld(3)));
            st(8,lerp(ld(8),%s,ld(4))); st(8,lerp(ld(8),%s,ld(5))); st(8,lerp(ld(8),%s,ld(6))); lerp(ld(8),%s,ld(7))" \
        "$sky" "$1" "$2" "$3" "$4" "$5" "$3" "$6" "$7" "$8" "$9" | tr -d ' \n'
}
$ff -f lavfi -i "color=black:s=640x360,format=gbrp,geq=
r='$(paint 30 222 60 255 96 44 60 42 255)':
g='$(paint 84 190 34 236 128 88 52 34 214)':
b='$(paint 112 168 0 190 134 94 58 40 140)'" -frames:v 1 "$work/scene.png"

# The wheel, at twice its size so that turning it leaves no stairs: two rims, a hub, twelve spokes and twelve floats.
# It looks the same after each twelfth of a turn, which takes 2 s.
wheel='st(0,hypot(X-200,Y-200)); st(1,mod(atan2(Y-200,X-200)+2*PI+PI/12,PI/6)-PI/12);
       st(2,ld(0)*abs(sin(ld(1))));
       max(max(clip(6-abs(ld(0)-164),0,1),clip(4-abs(ld(0)-128),0,1)),
           max(clip(20-ld(0),0,1),max(clip(4.5-ld(2),0,1)*clip(166-ld(0),0,1),
               clip(7-ld(2),0,1)*clip(ld(0)-122,0,1)*clip(192-ld(0),0,1))))'
wheel=$(printf '%s' "$wheel" | tr -d ' \n')
$ff -f lavfi -i "color=black:s=400x400,format=gbrap,geq=r=96:g=64:b=50:a='255*($wheel)'" -frames:v 1 "$work/wheel.png"

# The water: the mirror image of what is above the shore, darkened with depth and displaced by ripples that are dense
# and small at the far shore, wide and large near the viewer. They travel with periods of 4 s, 6 s and 8 s.
ripple='st(0,(Y-'$shore')/(H-'$shore')); st(1,40/(ld(0)+0.18));
        st(2,sin(ld(1)+2*PI*T/4+X/97)+0.6*sin(1.7*ld(1)-2*PI*T/6+X/61));
        st(3,sin(ld(1)*0.6+2*PI*T/8-X/143))'
water() {
    printf "%s; if(lt(Y,%s),p(X,Y), lerp(p(X+ld(2)*(1+9*ld(0)), %s-1-(Y-%s)*1.15-(1+ld(3))*(0.5+5*ld(0))), %s, 0.22+0.5*ld(0)) + 5*ld(2)*(0.3+ld(0)))" \
        "$ripple" "$shore" "$shore" "$shore" "$1" | tr -d ' \n'
}

clock="00\\:%{eif\\:floor(mod(n\\,$frames)/$fps)\\:d\\:2}.%{eif\\:floor(mod(mod(n\\,$frames)\\,$fps)*10/$fps)\\:d}"
cat > "$work/graph" <<GRAPH
[0:v]format=gbrp[scene];
[1:v]format=gbrap,rotate=a='2*PI*n/$frames':c=black@0:ow=400:oh=400,scale=200:200:flags=area[wheel];
[scene][wheel]overlay=x=62:y=92:format=gbrp:shortest=1,format=gbrp,
geq=r='$(water 20)':g='$(water 62)':b='$(water 82)',
scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,
drawtext=fontfile=$font:text=Millpond:fontcolor=white@0.95:fontsize=38:x=330:y=34,
drawtext=fontfile=$font:text='live from your own machine':fontcolor=white@0.8:fontsize=15:x=332:y=80,
drawtext=fontfile=$font_bold:text='$clock':fontcolor=white:fontsize=60:x=329:y=112
[v]
GRAPH
$ff -framerate $fps -loop 1 -i "$work/scene.png" -framerate $fps -loop 1 -i "$work/wheel.png" \
    -filter_complex_script "$work/graph" -map '[v]' -frames:v $frames -c:v libx264 -preset ultrafast -qp 0 "$work/period.mkv"

if [ -n "${LOOK:-}" ]; then cp "$work/period.mkv" "$LOOK"; fi

# The sound: one chime each second, a pentatonic tune of 24 notes, even seconds from the left, odd ones from the right,
# each fading for two seconds; under it a quiet fifth that swells every 8 s. All frequencies are whole numbers of Hz,
# so each of them completes whole turns in the period.
note() { # of the second that st(0) holds
    printf '330+110*(%s)' 'eq(mod(ld(0),3),1)+2*eq(mod(ld(0),8),3)-eq(mod(ld(0),6),5)*0.6+eq(mod(ld(0),12),7)'
}
voice() { # voice OFFSET: chimes at each even (OFFSET 0) or odd (OFFSET 1) second
    printf 'st(1,mod(t+%s,2));st(0,mod(t-ld(1)+%s,%s));st(2,%s);(1-exp(-150*ld(1)))*exp(-2.6*ld(1))*(sin(2*PI*ld(2)*ld(1))+0.35*exp(-3*ld(1))*sin(4*PI*ld(2)*ld(1)))' \
        "$1" "$period" "$period" "$(note)"
}
pad='0.03*(1.2+sin(2*PI*t/8))*(sin(2*PI*110*t)+0.8*sin(2*PI*165*t))'
left="st(5,$(voice 0));st(6,$(voice 1));0.16*ld(5)+0.09*ld(6)+$pad"
right="st(5,$(voice 0));st(6,$(voice 1));0.09*ld(5)+0.16*ld(6)+$pad"

$ff -stream_loop 2 -i "$work/period.mkv" -f lavfi -i "aevalsrc='$left|$right':s=48000:d=$((3 * period))" \
    -map 0:v -map 1:a -threads 1 -flags:v +bitexact+cgop -flags:a +bitexact -fflags +bitexact \
    -c:v libx264 -profile:v high -preset veryslow -tune animation -crf "${CRF:-30}" -bf 2 -b_strategy 0 -refs 3 \
    -g $((2 * fps)) -keyint_min $((2 * fps)) -sc_threshold 0 -x264-params "threads=1:open-gop=0:force-cfr=1:b-pyramid=none" \
    -bsf:v filter_units=remove_types=6 -color_primaries bt709 -color_trc bt709 -colorspace bt709 -color_range tv \
    -c:a aac -b:a 48k -ac 2 -f flv -flvflags no_duration_filesize "$work/three.flv"

python3 - "$work/three.flv" "$output" "$period" "$fps" <<'PYTHON'
"""Keeps the middle one of three periods of an FLV file, with timestamps that start at 0 (FLV 10.1, annex E)."""
import struct, sys

source, target, period, fps = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
duration = period * 1000
AUDIO, VIDEO, SCRIPT = 8, 9, 18


def tags(data):
    at = struct.unpack(">I", data[5:9])[0] + 4
    while at + 11 <= len(data):
        kind, size = data[at], int.from_bytes(data[at + 1 : at + 4], "big")
        time = int.from_bytes(data[at + 4 : at + 7], "big") | data[at + 7] << 24
        yield kind, time, data[at + 11 : at + 11 + size]
        at += 11 + size + 4


def tag(kind, time, body):
    head = bytes([kind]) + len(body).to_bytes(3, "big") + (time & 0xFFFFFF).to_bytes(3, "big")
    return head + bytes([time >> 24, 0, 0, 0]) + body + struct.pack(">I", 11 + len(body))


def metadata(values):
    body = b"\x02\x00\x0aonMetaData\x08" + struct.pack(">I", len(values))
    for name, value in values.items():
        body += struct.pack(">H", len(name)) + name.encode()
        body += bytes([1, value]) if isinstance(value, bool) else b"\x00" + struct.pack(">d", value)
    return body + b"\x00\x00\x09"


def is_header(kind, body):
    return kind != SCRIPT and body[1] == 0 and (kind == VIDEO or body[0] >> 4 == 10)


everything = list(tags(open(source, "rb").read()))
headers = [(kind, 0, body) for kind, _, body in everything if is_header(kind, body)]
media = [
    (kind, time - duration, body)
    for kind, time, body in everything
    if kind != SCRIPT and not is_header(kind, body) and duration <= time < 2 * duration and body[1] != 2
]
video = [item for item in media if item[0] == VIDEO]
audio = [item for item in media if item[0] == AUDIO]
keys = [time for _, time, body in video if body[0] >> 4 == 1]
assert len(headers) == 2, "one sequence header per track"
assert [time for _, time, _ in video] == [n * 1000 // fps for n in range(period * fps)], "constant frame rate"
assert keys == list(range(0, duration, 2000)), "a key frame every 2 s and nowhere else"
assert len(audio) == period * 48000 // 1024, "whole number of AAC frames"
media.sort(key=lambda item: (item[1], item[0] == AUDIO))
about = {
    "duration": float(period), "width": 640.0, "height": 360.0, "framerate": float(fps), "videocodecid": 7.0,
    "videodatarate": sum(len(b) for _, _, b in video) * 8 / duration, "audiocodecid": 10.0, "audiosamplerate": 48000.0,
    "audiosamplesize": 16.0, "stereo": True, "audiodatarate": sum(len(b) for _, _, b in audio) * 8 / duration,
}
out = b"FLV\x01\x05" + struct.pack(">II", 9, 0) + tag(SCRIPT, 0, metadata(about))
out += b"".join(tag(*item) for item in headers + media)
open(target, "wb").write(out)
print(f"{target}: {len(out)} bytes, {duration} ms, {len(video)} pictures, {len(audio)} AAC frames")
PYTHON
