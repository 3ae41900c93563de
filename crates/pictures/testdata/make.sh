#!/bin/sh
# Makes the streams of the tests and what ffmpeg decodes them to, with ffmpeg and libx264. Run it in this folder.
set -eu
make() { # name size frames profile pixel-format x264-parameters
    ffmpeg -v error -y -f lavfi -i "testsrc2=s=$2:r=25,noise=alls=6:allf=t:all_seed=1" -frames:v "$3" -pix_fmt "$5" \
        -c:v libx264 -preset medium -profile:v "$4" \
        -x264-params "keyint=6:min-keyint=6:scenecut=0:threads=1:crf=30:$6" -bsf:v h264_metadata=aud=insert "$1.h264"
    ffmpeg -v error -y -i "$1.h264" -f rawvideo -fps_mode passthrough "$1.yuv"
    # A frame a line, in the order in which they are shown: enough to compare, and small enough to keep.
    ffmpeg -v error -y -i "$1.h264" -f framemd5 -fps_mode passthrough "$1.frames" && sed -i '/^#/d;s/.*, *//' "$1.frames"
    rm "$1.yuv"
}
make baseline 128x96 8 baseline yuv420p ""
make main-cavlc 128x96 8 main yuv420p "cabac=0"
make main-cabac 128x96 8 main yuv420p ""
make high-8x8dct 128x96 8 high yuv420p "bframes=3:b-pyramid=normal"
make high-cavlc 128x96 8 high yuv420p "cabac=0"
make high-scaling-lists 128x96 8 high yuv420p "cqm=jvt"
make cropped 126x94 8 high yuv420p ""
make slices 128x96 8 high yuv420p "slices=4"
make slices-by-size 128x96 8 baseline yuv420p "slice-max-size=200"
make raw-macroblocks 64x48 2 high yuv420p "qp=1"
make constrained-intra 128x96 8 main yuv420p "constrained-intra=1"
make open-gop 128x96 14 high yuv420p "open-gop=1:bframes=3"
make allows-fields 128x96 8 high yuv420p "fake-interlaced=1"
make full-range-709 128x96 4 high yuvj420p "fullrange=on:colormatrix=bt709"
make mbaff 128x96 4 high yuv420p "interlaced=1:tff=1"
make ten-bit 64x48 2 high10 yuv420p10le ""
make 422 64x48 2 high422 yuv422p ""
make grey 64x48 2 high gray ""
make lossless 64x48 2 high444 yuv420p "qp=0"
make full-range-601 128x96 1 high yuvj420p "fullrange=on:colormatrix=smpte170m"
