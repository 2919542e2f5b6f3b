"""Names of EXIF, TIFF, DNG, GPS and Interop tags, spelled as ExifTool prints them. Facts: EXIF 2.32, TIFF 6.0, DNG 1.6."""

from __future__ import annotations


def _table(text: str) -> dict[int, str]:
    words = text.split()
    return {int(tag, 16): name for tag, name in zip(words[::2], words[1::2], strict=True)}


IMAGE = _table("""
0001 InteropIndex 000b ProcessingSoftware 00fe SubfileType 00ff OldSubfileType 0100 ImageWidth 0101 ImageHeight 0102 BitsPerSample
0103 Compression 0106 PhotometricInterpretation 0107 Thresholding 010a FillOrder 010d DocumentName 010e ImageDescription 010f Make
0110 Model 0112 Orientation 0115 SamplesPerPixel 0116 RowsPerStrip 0118 MinSampleValue 0119 MaxSampleValue 011a XResolution
011b YResolution 011c PlanarConfiguration 011d PageName 011e XPosition 011f YPosition 0128 ResolutionUnit 0129 PageNumber
012d TransferFunction 0131 Software 0132 ModifyDate 013b Artist 013c HostComputer 013d Predictor 013e WhitePoint
013f PrimaryChromaticities 0140 ColorMap 0142 TileWidth 0143 TileLength 014c InkSet 0152 ExtraSamples 0153 SampleFormat
015b JPEGTables 0211 YCbCrCoefficients 0212 YCbCrSubSampling 0213 YCbCrPositioning 0214 ReferenceBlackWhite 4746 Rating
4749 RatingPercent 80e3 MatteingTag 828d CFARepeatPatternDim 828e CFAPattern2 8298 Copyright 829a ExposureTime 829d FNumber
830e PixelScale 8482 ModelTiePoint 87af GeoTiffDirectory 87b0 GeoTiffDoubleParams 87b1 GeoTiffAsciiParams 8822 ExposureProgram
8824 SpectralSensitivity 8827 ISO 8828 Opto-ElectricConvFactor 882a TimeZoneOffset 882b SelfTimerMode 8830 SensitivityType
8831 StandardOutputSensitivity 8832 RecommendedExposureIndex 8833 ISOSpeed 9000 ExifVersion 9003 DateTimeOriginal 9004 CreateDate
9009 GooglePlusUploadCode 9010 OffsetTime 9011 OffsetTimeOriginal 9012 OffsetTimeDigitized 9101 ComponentsConfiguration
9102 CompressedBitsPerPixel 9201 ShutterSpeedValue 9202 ApertureValue 9203 BrightnessValue 9204 ExposureCompensation
9205 MaxApertureValue 9206 SubjectDistance 9207 MeteringMode 9208 LightSource 9209 Flash 920a FocalLength 9211 ImageNumber
9212 SecurityClassification 9213 ImageHistory 9214 SubjectArea 9286 UserComment 9290 SubSecTime 9291 SubSecTimeOriginal
9292 SubSecTimeDigitized 9400 AmbientTemperature 9401 Humidity 9402 Pressure 9403 WaterDepth 9404 Acceleration
9405 CameraElevationAngle 9c9b XPTitle 9c9c XPComment 9c9d XPAuthor 9c9e XPKeywords 9c9f XPSubject a000 FlashpixVersion
a001 ColorSpace a002 ExifImageWidth a003 ExifImageHeight a004 RelatedSoundFile a20b FlashEnergy a20c SpatialFrequencyResponse
a20e FocalPlaneXResolution a20f FocalPlaneYResolution a210 FocalPlaneResolutionUnit a214 SubjectLocation a215 ExposureIndex
a217 SensingMethod a300 FileSource a301 SceneType a302 CFAPattern a401 CustomRendered a402 ExposureMode a403 WhiteBalance
a404 DigitalZoomRatio a405 FocalLengthIn35mmFormat a406 SceneCaptureType a407 GainControl a408 Contrast a409 Saturation
a40a Sharpness a40b DeviceSettingDescription a40c SubjectDistanceRange a420 ImageUniqueID a430 OwnerName a431 SerialNumber
a432 LensInfo a433 LensMake a434 LensModel a435 LensSerialNumber a436 ImageTitle a437 Photographer a438 ImageEditor
a439 CameraFirmware a43a RAWDevelopingSoftware a43b ImageEditingSoftware a43c MetadataEditingSoftware a460 CompositeImage
a500 Gamma c4a5 PrintIM c612 DNGVersion c613 DNGBackwardVersion c614 UniqueCameraModel c615 LocalizedCameraModel c62f
CameraSerialNumber c630 DNGLensInfo c65a CalibrationIlluminant1 c65b CalibrationIlluminant2 c65d RawDataUniqueID
c68b OriginalRawFileName c6f3 CameraCalibrationSig c71a PreviewApplicationName c71b PreviewApplicationVersion
c71f PreviewDateTime c7a1 CameraLabel c7a7 NewRawImageDigest ea1c Padding
""")

GPS = _table("""
0000 GPSVersionID 0001 GPSLatitudeRef 0002 GPSLatitude 0003 GPSLongitudeRef 0004 GPSLongitude 0005 GPSAltitudeRef 0006 GPSAltitude
0007 GPSTimeStamp 0008 GPSSatellites 0009 GPSStatus 000a GPSMeasureMode 000b GPSDOP 000c GPSSpeedRef 000d GPSSpeed
000e GPSTrackRef 000f GPSTrack 0010 GPSImgDirectionRef 0011 GPSImgDirection 0012 GPSMapDatum 0013 GPSDestLatitudeRef
0014 GPSDestLatitude 0015 GPSDestLongitudeRef 0016 GPSDestLongitude 0017 GPSDestBearingRef 0018 GPSDestBearing
0019 GPSDestDistanceRef 001a GPSDestDistance 001b GPSProcessingMethod 001c GPSAreaInformation 001d GPSDateStamp
001e GPSDifferential 001f GPSHPositioningError
""")

INTEROP = _table("0001 InteropIndex 0002 InteropVersion 1000 RelatedImageFileFormat 1001 RelatedImageWidth 1002 RelatedImageHeight")
